import { Duplex } from 'node:stream';
import type { LocalContext } from '../../config/peer-settings.ts';
import type { LocalProgram } from '../local-program.ts';
import { closedWithin, DRAIN_MS, loadLaunch } from '../local-program.ts';
import { childEnvironment } from '../openssh/child-environment.ts';
import { PeerError } from '../peer-error.ts';
import { shownText } from '../shown-text.ts';
import { TextTail } from '../text-tail.ts';

/** A running `ProxyCommand`: its stdin and stdout are the connection to the peer. */
export class ProxyCommand {
  /** Destroying it ends the command and its children. */
  readonly stream: Duplex;
  readonly #command: string;
  readonly #program: LocalProgram;
  readonly #stderr = new TextTail();
  /** Whether it closed its output, or its input, by itself. */
  #hasEnded = false;

  private constructor(command: string, program: LocalProgram) {
    this.#command = command;
    this.#program = program;
    program.stderr.on('data', (chunk: Buffer) => this.#stderr.add(chunk));
    this.stream = Duplex.from({ readable: program.stdout, writable: program.stdin });
    this.stream.on('error', () => undefined);
    this.stream.once('close', () => void program.end());
    void this.#closeAtEnd();
    const hasEnded = (): void => {
      this.#hasEnded = true;
    };
    program.stdout.once('end', hasEnded);
    // What is written to it fails before its output is read to the end, if it is faster than this side. A pipe that this side gives up
    // fails too, by an error of the stream's own.
    program.stdin.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'ABORT_ERR') hasEnded();
    });
  }

  /** Starts it as ssh does: with the user's shell, which it replaces (ssh_config(5)). */
  static async start(command: string, { cwd, env }: LocalContext): Promise<ProxyCommand> {
    const launch = await loadLaunch();
    return new ProxyCommand(command, launch(env['SHELL'] || '/bin/sh', ['-c', `exec ${command}`], { cwd, env: childEnvironment(env) }));
  }

  /** Ends it, and explains a failure of the connection through it. */
  async explain(error: unknown): Promise<unknown> {
    await this.end();
    if (!(error instanceof PeerError) || this.#hasAnswered) return error;
    const command = `the ProxyCommand ${shownText(this.#command)}`;
    const hint = 'Run it by hand, or correct ProxyCommand in the ssh configuration.';
    if (this.#hasEnded) {
      const words = shownText(this.#stderr.text);
      return new PeerError('unavailable', {
        message: `${command} ended before the peer answered${words === '' ? '' : `: ${words}`}`,
        hint,
        cause: error,
      });
    }
    return new PeerError(error.code, { message: `${error.message} (through ${command})`, hint: error.hint ?? hint, cause: error });
  }

  get #hasAnswered(): boolean {
    const { stdout } = this.#program;
    return 'bytesRead' in stdout && stdout.bytesRead !== 0;
  }

  /** ssh2 waits for a socket to close: without this, until it times out. */
  async #closeAtEnd(): Promise<void> {
    await this.#program.ended;
    await closedWithin(this.#program.stdout, DRAIN_MS);
    this.stream.destroy();
  }

  /** Ends it; resolves when all of its processes have ended. */
  async end(): Promise<void> {
    this.stream.destroy();
    await this.#program.end();
    await this.#program.ended;
  }
}
