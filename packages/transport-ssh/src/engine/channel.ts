import type { Readable, Writable } from 'node:stream';
import type { PeerError } from './peer-error.ts';

/**
 * What the peer runs behind a channel: its SFTP subsystem, or one command line. The account's login shell there interprets a command
 * line (RFC 4254, section 6.5): it must not contain special characters.
 */
export type ChannelRequest = { readonly subsystem: 'sftp' } | { readonly command: string };

/** How a channel ended. */
export interface ChannelEnd {
  /** The exit status that the peer reported, if any. */
  readonly exitCode: number | undefined;
  /** The connection's failure; undefined if the peer's side ended by itself. */
  readonly error: PeerError | undefined;
  /** The last text that the peer's side wrote to its stderr, a few KiB at most. */
  readonly stderr: string;
}

/** A two-way stream of bytes to a program on the peer. Disposing ends it, by force if it hangs. */
export interface SshChannel extends AsyncDisposable {
  /** To the peer's standard input. */
  readonly input: Writable;
  /** From the peer's standard output. */
  readonly output: Readable;
  /** To be called when a chunk from `output` is no longer used. */
  release(chunk: Uint8Array): void;
  /** Never rejects. */
  readonly ended: Promise<ChannelEnd>;
}

/** Opens channels to a peer, several at a time, until it is disposed. */
export interface SshEngine extends AsyncDisposable {
  readonly name: 'openssh' | 'ssh2';
  /**
   * Starts a program on the peer. May resolve before the peer has answered; a later failure is in `ended`.
   * @throws PeerError for an early failure; the signal's reason
   */
  openChannel(request: ChannelRequest, options?: { readonly signal?: AbortSignal | undefined }): Promise<SshChannel>;
}
