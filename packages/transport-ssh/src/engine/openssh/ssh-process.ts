import { releaseMemory } from '@gantry/transport';
import type { Readable, Writable } from 'node:stream';
import type { ChannelEnd, SshChannel } from '../channel.ts';
import type { LocalProgram, ProgramEnd } from '../local-program.ts';
import { DRAIN_MS, closedWithin } from '../local-program.ts';
import { PeerError } from '../peer-error.ts';
import { TextTail } from '../text-tail.ts';
import { withoutDebugging } from './explain-stderr.ts';

/** How long `ssh` may take to end by itself after its input is closed, ms. */
const END_PATIENCE_MS = 1000;

/** The exit status of ssh's own failures; any other is that of the command on the peer (ssh(1), EXIT STATUS). */
const OWN_FAILURE = 255;

const AUTHENTICATED = /^Authenticated to |^(debug1: )?Authentication succeeded/m;

/** A running `ssh` of the system: one connection with one channel. */
export class SshProcess implements SshChannel {
  readonly input: Writable;
  readonly output: Readable;
  readonly ended: Promise<ChannelEnd>;
  /** Resolves when the peer has accepted the login. @throws PeerError */
  readonly authenticated: Promise<void>;
  readonly #program: LocalProgram;
  readonly #explain: (stderr: string) => Promise<PeerError>;
  readonly #stderr = new TextTail();
  /** Set when it was killed, with the reason if there is one. */
  #killed: { readonly why: PeerError | undefined } | undefined;

  /**
   * If gantry dies, its ends of the pipes close, and ssh ends.
   * @param explain explains the stderr of a failed `ssh`
   */
  constructor(program: LocalProgram, explain: (stderr: string) => Promise<PeerError>) {
    this.#program = program;
    this.#explain = explain;
    this.input = program.stdin;
    this.output = program.stdout;
    const authenticated = Promise.withResolvers<void>();
    this.authenticated = authenticated.promise;
    this.authenticated.catch(() => undefined);
    program.stderr.on('data', (chunk: Buffer) => {
      this.#stderr.add(chunk);
      if (AUTHENTICATED.test(this.#stderr.text)) authenticated.resolve();
    });
    this.ended = this.#waitForEnd();
    void this.#refuseAtEnd(authenticated);
  }

  /** Its stderr so far, including debug messages. */
  get stderrText(): string {
    return this.#stderr.text;
  }

  /** Each chunk was read from the pipe into its own memory. */
  release(chunk: Uint8Array): void {
    releaseMemory(chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.input.end();
    // Its output is no longer read: without this, ssh would block on a full pipe.
    this.output.resume();
    const patience = setTimeout(() => void this.kill(), END_PATIENCE_MS);
    await this.ended;
    clearTimeout(patience);
  }

  /** Ends it and its children without flushing; `why` becomes the error of its end. */
  async kill(why?: PeerError): Promise<void> {
    this.#killed ??= { why };
    void this.#program.end();
    await this.ended;
  }

  async #waitForEnd(): Promise<ChannelEnd> {
    const end = await this.#program.ended;
    // Output that has no reader by now will not get one.
    if (this.output.readableFlowing === null) this.output.resume();
    await closedWithin(this.output, this.#killed === undefined ? undefined : DRAIN_MS);
    return this.#describeEnd(end);
  }

  async #refuseAtEnd(authenticated: PromiseWithResolvers<void>): Promise<void> {
    const { error } = await this.ended;
    authenticated.reject(error ?? new PeerError('unavailable', { message: 'the peer closed the connection' }));
  }

  async #describeEnd({ status, startError }: ProgramEnd): Promise<ChannelEnd> {
    const stderr = withoutDebugging(this.#stderr.text);
    const failed = (error: PeerError): ChannelEnd => ({ exitCode: undefined, stderr, error });
    if (this.#killed?.why !== undefined) return failed(this.#killed.why);
    if (startError !== undefined) return failed(cannotStart(startError));
    if (status === undefined || status === OWN_FAILURE) return failed(await this.#explain(this.#stderr.text));
    return { exitCode: status, stderr, error: undefined };
  }
}

function cannotStart(cause: NodeJS.ErrnoException): PeerError {
  if (cause.code === 'ENOENT')
    return new PeerError('unsupported', {
      message: 'ssh is not installed on this machine',
      hint: 'Install the OpenSSH client, or use ?engine=ssh2.',
      cause,
    });
  return new PeerError('unavailable', { message: `cannot start ssh (${cause.code ?? cause.message})`, cause });
}
