import type { StoreError } from './errors.ts';
import type { CallOptions } from './store.ts';

/*
 * # What a channel to a peer promises
 *
 * A transport that can run a program on another machine offers `openPeer`. `gantry move` then runs `gantry receive` there and talks to
 * it through the channel; the transport carries bytes without knowing their meaning.
 *
 * 1. **Bytes unchanged,** in order, in both directions at once, nothing added and nothing lost.
 * 2. **Back-pressure.** `write` resolves when the bytes are passed on, and not before there is room.
 * 3. **A definite end.** When the program on the peer ends or the connection is lost, `input` ends (or throws `unavailable`), and
 *    `ended` says which. Disposing ends the channel, and through it the program: its input ends, or it gets a signal.
 * 4. **Nothing for a shell.** The program's command line contains no untrusted text; everything else goes through the channel.
 */

/** How the program on the peer ended. */
export interface PeerEnd {
  /** Its exit status; undefined if it was killed or the connection was lost before. */
  readonly exitCode: number | undefined;
  /** The connection's failure; undefined if the program ended by itself. */
  readonly error: StoreError | undefined;
  /** The last text that it wrote for people, a few KiB at most. */
  readonly text: string;
}

/** A two-way stream of bytes to a program that runs on a peer. */
export interface PeerChannel extends AsyncDisposable {
  /** The peer's address, in the form that a user can give again, without secrets. */
  readonly address: string;
  /** The program's output, to be read once. A chunk belongs to the consumer until it asks for the next. */
  readonly input: AsyncIterable<Uint8Array>;
  /**
   * Sends bytes, all parts as one. They belong to the channel until this resolves. Calls must not overlap.
   *
   * @throws StoreError `unavailable`; the reason of the signal
   */
  write(parts: readonly Uint8Array[], options?: CallOptions): Promise<void>;
  /** Never rejects. */
  readonly ended: Promise<PeerEnd>;
}

const PROGRAM = /^[A-Za-z0-9_./][A-Za-z0-9_./+-]*$/;

/** The command that a transport runs on the peer, safe for any shell; undefined if the program's name is not. */
export function receiverCommand(program: string = 'gantry'): string | undefined {
  return PROGRAM.test(program) ? `${program} receive` : undefined;
}
