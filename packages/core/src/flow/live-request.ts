import { blockBytesFor } from '../frames/block-digests.ts';
import type { LiveOrder } from '../peer/messages.ts';
import { GantryError } from '../report/errors.ts';
import type { SelectedOs } from '../scripts/select.ts';

/** A move in rounds. */
export interface LiveRequest {
  /** How many; the last one while the instance does not write. */
  readonly rounds: number;
  /** Sends only what differs from what is on the target's disks already, such as an interrupted move. */
  readonly resume?: boolean | undefined;
  /** How the disks become still for the last round. */
  readonly stillness: Stillness;
}

export type Stillness =
  /** The instance does not run. */
  | { readonly kind: 'stopped' }
  /** Its source shuts it down: see `OriginOptions`. */
  | { readonly kind: 'shutdown' }
  /** By the commands `pause` and `resume` of the snapshot configuration, or else by the control of the guest. */
  | { readonly kind: 'paused' }
  /** A person stops it, and says so: resolves with false if not. */
  | { readonly kind: 'ask'; readonly ask: (signal: AbortSignal) => Promise<boolean> };

/** More than are of any use. */
const MAX_LIVE_ROUNDS = 20;

/** @throws GantryError `USAGE`, `OS_OPERATION_UNSUPPORTED` */
export function assertLivePossible({ rounds }: LiveRequest, os: SelectedOs): void {
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > MAX_LIVE_ROUNDS)
    throw new GantryError('USAGE', {
      message: `${rounds} is not a valid number of live rounds`,
      hint: `Give a whole number from 1 to ${MAX_LIVE_ROUNDS}; 2 or 3 are usual.`,
    });
  assertReadsPlaces(os);
}

/** Scripts write streams, in which a change can move everything after it. @throws GantryError `OS_OPERATION_UNSUPPORTED` */
export function assertReadsPlaces({ definition }: SelectedOs): void {
  if (definition.builtin) return;
  throw new GantryError('OS_OPERATION_UNSUPPORTED', {
    message: `cannot move in live rounds with the OS definition ${definition.name}: what its scripts write has no place on the disk`,
    hint: 'Set os to raw in the instance files, or move without --live-rounds.',
  });
}

export function liveOrder({ resume = false }: LiveRequest, diskBytes: readonly (number | undefined)[]): LiveOrder {
  return { blockBytes: blockBytesFor(diskBytes.reduce<number>((total, bytes = 0) => total + bytes, 0)), compare: resume };
}
