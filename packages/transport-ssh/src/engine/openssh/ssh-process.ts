import { releaseMemory } from '@gantry/transport';
import { spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import type { ChannelEnd, SshChannel } from '../channel.ts';
import { PeerError } from '../peer-error.ts';
import { TextTail } from '../text-tail.ts';
import { explainStderr, withoutDebugging } from './explain-stderr.ts';

/** How long `ssh` may take to end by itself once nobody wants anything from it, ms. */
const END_PATIENCE_MS = 1000;

/** The status with which ssh itself fails; any other is the peer's command's (ssh(1), EXIT STATUS). */
const OWN_FAILURE = 255;

const AUTHENTICATED = /^Authenticated to |^(debug1: )?Authentication succeeded/m;

/** One run of the system's `ssh`: one connection with one channel in it. */
export class SshProcess implements SshChannel {
  readonly input: Writable;
  readonly output: Readable;
  readonly ended: Promise<ChannelEnd>;
  /** Resolves when the peer has let us in; rejects when it has not. @throws PeerError */
  readonly authenticated: Promise<void>;
  readonly #stderr = new TextTail();
  #killedFor: PeerError | undefined;
  readonly #kill: (signal: 'SIGKILL') => void;

  constructor(args: readonly string[], env: Readonly<Record<string, string>>) {
    // A session of its own: Ctrl-C on the terminal ends gantry, which still needs the connection to clean up. When gantry
    // dies, its ends of the pipes close, and ssh ends.
    const subprocess = spawn('ssh', args, { stdio: 'pipe', env, detached: true });
    this.input = subprocess.stdin;
    this.output = subprocess.stdout;
    this.#kill = (signal) => subprocess.kill(signal);
    const authenticated = Promise.withResolvers<void>();
    this.authenticated = authenticated.promise;
    this.authenticated.catch(() => undefined);
    subprocess.stderr.on('data', (chunk: Buffer) => {
      this.#stderr.add(chunk);
      if (AUTHENTICATED.test(this.#stderr.text)) authenticated.resolve();
    });
    for (const stream of [this.input, this.output, subprocess.stderr]) stream.on('error', () => undefined);
    this.ended = new Promise<ChannelEnd>((resolve) => {
      // Where it was not to be started.
      subprocess.on('error', (cause) => resolve(this.#describeEnd(undefined, cause)));
      // When all that it wrote was taken too.
      subprocess.on('close', (status) => resolve(this.#describeEnd(status ?? undefined)));
    });
    subprocess.on('exit', () => {
      // What nobody has begun to read, nobody will.
      if (this.output.readableFlowing === null) this.output.resume();
    });
    void this.#refuseAtEnd(authenticated);
  }

  /** Each chunk was read from the pipe into memory of its own. */
  release(chunk: Uint8Array): void {
    releaseMemory(chunk);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.input.end();
    // Nobody reads any more: without this, ssh would wait for room in the pipe.
    this.output.resume();
    const patience = setTimeout(() => this.#kill('SIGKILL'), END_PATIENCE_MS);
    await this.ended;
    clearTimeout(patience);
  }

  /** Ends it without waiting for anything to be sent; `why` is then how it ended. */
  async kill(why?: PeerError): Promise<void> {
    this.#killedFor ??= why;
    this.#kill('SIGKILL');
    await this.ended;
  }

  async #refuseAtEnd(authenticated: PromiseWithResolvers<void>): Promise<void> {
    const { error } = await this.ended;
    authenticated.reject(error ?? new PeerError('unavailable', { message: 'the peer closed the connection' }));
  }

  #describeEnd(exitCode: number | undefined, cause?: NodeJS.ErrnoException): ChannelEnd {
    const stderr = withoutDebugging(this.#stderr.text);
    if (this.#killedFor !== undefined) return { exitCode: undefined, stderr, error: this.#killedFor };
    if (cause?.code === 'ENOENT')
      return {
        exitCode,
        stderr,
        error: new PeerError('unsupported', {
          message: 'there is no ssh on this machine',
          hint: 'Install the OpenSSH client, or use ?engine=ssh2.',
          cause,
        }),
      };
    if (exitCode === undefined || exitCode === OWN_FAILURE) return { exitCode: undefined, stderr, error: explainStderr(this.#stderr.text) };
    return { exitCode, stderr, error: undefined };
  }
}
