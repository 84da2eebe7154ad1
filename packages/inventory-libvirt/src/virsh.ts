import { randomUUID } from 'node:crypto';
import type { CallOptions } from '@gantry/core/inventory';
import { InventoryError, virshEnvironment } from '@gantry/core/inventory';
import { execa, ExecaError } from 'execa';
import type { Connection } from './address.ts';
import { asVirshFailure } from './virsh-failure.ts';

/** For one command. Libvirt answers in milliseconds, or waits for QEMU, which it gives 30 s. */
const TIMEOUT_MS = 60_000;
/** Output of one command: descriptions of a batch of domains. */
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;
/** Between SIGTERM and SIGKILL for a command whose time is up or that was cancelled. */
const GRACE_MS = 2000;

export interface VirshOptions extends Connection {
  /** Only PATH, HOME and what ssh and libvirt read of it are handed on. */
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly timeoutMs?: number | undefined;
}

export interface VirshCall extends CallOptions {
  /** Whether it may change anything. A connection for reading cannot, and needs fewer rights. */
  readonly writes?: boolean;
}

/** Runs virsh, without a shell. What comes from outside goes into no command but as one whole argument. */
export class Virsh {
  readonly #options: VirshOptions;

  constructor(options: VirshOptions) {
    this.#options = options;
  }

  get isLocal(): boolean {
    return this.#options.isLocal;
  }

  get uri(): string {
    return this.#options.uri;
  }

  /**
   * Runs one command of virsh.
   * @returns what it wrote
   * @throws InventoryError `denied`, `exists`, `failed`, `invalid-address`, `not-found`, `source-not-found`, `unavailable`; the reason of the signal
   */
  async run(command: readonly string[], { signal, writes = false }: VirshCall = {}): Promise<string> {
    const { output, failure } = await this.#execute(command, { signal, writes });
    if (failure !== undefined) throw failure;
    return output;
  }

  /**
   * Runs several commands over one connection, for reading.
   * @param commands of fixed words and UUIDs: virsh divides them into words by itself
   * @returns what each wrote; nothing where it failed, as when a domain is gone meanwhile
   * @throws as {@link run}, where libvirt cannot be reached
   */
  async runAll(commands: readonly string[], { signal }: CallOptions = {}): Promise<readonly string[]> {
    const mark = randomUUID();
    const batch = commands.map((command) => `${command}; echo ${mark}`).join('; ');
    const { output, failure } = await this.#execute([batch], { signal, writes: false });
    // Quiet, it writes no end of line behind the mark.
    const parts = output.split(mark);
    // One that failed leaves its part empty, and the next ones are run anyway: too few parts are a connection that broke.
    if (parts.length !== commands.length + 1) throw failure ?? new InventoryError('failed', { message: 'virsh ended too early' });
    return parts.slice(0, -1);
  }

  async #execute(command: readonly string[], { signal, writes }: VirshCall): Promise<{ output: string; failure?: InventoryError }> {
    signal?.throwIfAborted();
    const { uri, env, timeoutMs = TIMEOUT_MS } = this.#options;
    try {
      const { stdout } = await execa('virsh', ['--quiet', ...(writes ? [] : ['--readonly']), `--connect=${uri}`, ...command], {
        env: virshEnvironment(env),
        extendEnv: false,
        stdin: 'ignore',
        timeout: timeoutMs,
        maxBuffer: MAX_OUTPUT_BYTES,
        stripFinalNewline: false,
        forceKillAfterDelay: GRACE_MS,
        ...(signal === undefined ? {} : { cancelSignal: signal }),
      });
      return { output: stdout };
    } catch (error) {
      signal?.throwIfAborted();
      const failure = asVirshFailure(error, { uri, timeoutMs });
      return { output: error instanceof ExecaError && typeof error.stdout === 'string' ? error.stdout : '', failure };
    }
  }
}
