import type { Readable, Writable } from 'node:stream';
import type { PeerError } from './peer-error.ts';

/**
 * What the peer is asked to run behind a channel: its SFTP subsystem, or one command line. A command line is read by the account's
 * login shell there (RFC 4254, section 6.5): it must hold nothing that the shell would interpret.
 */
export type ChannelRequest = { readonly subsystem: 'sftp' } | { readonly command: string };

/** How a channel ended. */
export interface ChannelEnd {
  /** The exit status that the peer told, where it told one. */
  readonly exitCode: number | undefined;
  /** The connection's failure, where it was one; undefined when the peer's side ended by itself. */
  readonly error: PeerError | undefined;
  /** The last text that the peer's side wrote to its stderr, at most some KiB. */
  readonly stderr: string;
}

/** A two-way stream of bytes to something that runs on the peer. Disposing ends it, at once where it hangs. */
export interface SshChannel extends AsyncDisposable {
  /** To the peer's standard input. */
  readonly input: Writable;
  /** From the peer's standard output. */
  readonly output: Readable;
  /** Told that nobody will look again at a chunk that `output` gave. */
  release(chunk: Uint8Array): void;
  /** Never rejects. */
  readonly ended: Promise<ChannelEnd>;
}

/** A way to a peer: opens channels to it, several at once, until it is disposed. */
export interface SshEngine extends AsyncDisposable {
  readonly name: 'openssh' | 'ssh2';
  /**
   * Starts something on the peer. May resolve before the peer has answered; what goes wrong then is in `ended`.
   * @throws PeerError where the failure is known by then; the signal's reason
   */
  openChannel(request: ChannelRequest, options?: { readonly signal?: AbortSignal | undefined }): Promise<SshChannel>;
}
