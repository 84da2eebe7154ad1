import { virshEnvironment } from '../../instances/virsh-environment.ts';
import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import { runCommand } from '../../system/run-command.ts';

/** The description of a domain with a hundred disks has 100 KiB. */
const MAX_OUTPUT_BYTES = 4 * 1024 * 1024;

export interface VirshCall {
  readonly signal: AbortSignal;
  /** Instead of that of all calls. */
  readonly timeoutS?: number;
  /** Remembers the process group. The command starts when this has resolved. */
  readonly started?: (group: ProcessGroup) => Promise<void>;
}

/** A libvirt, asked by `virsh`: a process for each call. */
export class Virsh {
  readonly #uri: string;
  readonly #timeoutS: number;

  /** @param timeoutS for each call */
  constructor(uri: string, timeoutS: number) {
    this.#uri = uri;
    this.#timeoutS = timeoutS;
  }

  /** @returns what it wrote @throws Error with what it said; the signal's reason */
  async run(words: readonly string[], { timeoutS = this.#timeoutS, ...call }: VirshCall): Promise<string> {
    try {
      const environment = virshEnvironment(process.env);
      const options = { ...call, timeoutS, keptBytes: MAX_OUTPUT_BYTES, environment };
      return await runCommand(['virsh', '--connect', this.#uri, '--quiet', ...words], options);
    } catch (error) {
      call.signal.throwIfAborted();
      if (error instanceof Error && errnoName(error.cause) === 'ENOENT')
        throw new Error('virsh is not installed (Debian package libvirt-clients)', { cause: error });
      throw new Error(errorText(error).replaceAll(/(: | \/ )error: /g, '$1'), { cause: error });
    }
  }
}

/** Whether a call failed because the domain does not run, or is not there (any more). */
export function isGone(error: unknown): boolean {
  return /failed to get domain|Domain not found|domain is not running/.test(errorText(error));
}
