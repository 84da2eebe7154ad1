import type { StoreError } from './errors.ts';
import type { CallOptions } from './store.ts';

/*
 * # What a channel to a peer promises
 *
 * A transport that can run a program on another machine offers `openPeer`. `gantry move` then runs `gantry receive` there and talks to
 * it through the channel; the transport carries bytes, and knows nothing of what they mean.
 *
 * 1. **Bytes as they are,** in order, both ways at once, nothing added, nothing lost in the middle.
 * 2. **Pushed back.** `write` resolves when the bytes are handed on, and not before there is room.
 * 3. **An end is an end.** When the program over there ends or the connection is lost, `input` ends (or throws `unavailable`), and
 *    `ended` tells which. Disposing ends the channel, and through it the program: it sees the end of its input, or a signal.
 * 4. **Nothing for a shell.** The program is told nothing on its command line that comes from outside; all else goes through the channel.
 */

/** How the program on the peer ended. */
export interface PeerEnd {
  /** Its exit status; undefined where it was killed or the connection went first. */
  readonly exitCode: number | undefined;
  /** The connection's failure; undefined where the program ended by itself. */
  readonly error: StoreError | undefined;
  /** The last text that it wrote for humans, at most some KiB. */
  readonly text: string;
}

/** A two-way stream of bytes to a program that runs on a peer. */
export interface PeerChannel extends AsyncDisposable {
  /** The peer, as a user may name it again; without any secret. */
  readonly address: string;
  /** What the program writes, to be pulled once. A chunk belongs to its taker until it asks for the next. */
  readonly input: AsyncIterable<Uint8Array>;
  /**
   * Sends bytes, all parts as one. They belong to the channel until this resolves. Calls come one after the other, never at once.
   *
   * @throws StoreError `unavailable`; the reason of the signal
   */
  write(parts: readonly Uint8Array[], options?: CallOptions): Promise<void>;
  /** Never rejects. */
  readonly ended: Promise<PeerEnd>;
}

const PROGRAM = /^[A-Za-z0-9_./][A-Za-z0-9_./+-]*$/;

/** The command that a transport runs on the peer, safe for any shell; undefined where the program's name is not. */
export function receiverCommand(program: string = 'gantry'): string | undefined {
  return PROGRAM.test(program) ? `${program} receive` : undefined;
}
