import { orAbort } from '@gantry/transport';
import type { SshEngine } from '../engine/channel.ts';
import { PeerError } from '../engine/peer-error.ts';
import type { Lane } from './lane.ts';
import { openLane } from './lane.ts';

/** What one stream should be able to reach at least, bytes a second: four times what a link of 1 Gbit/s carries. */
const WANTED_BYTES_PER_SECOND = 400 * 1024 * 1024;

/** How much may be on its way in one SSH channel: OpenSSH's window (its `CHAN_SES_WINDOW_DEFAULT`), bytes. */
const CHANNEL_WINDOW_BYTES = 2 * 1024 * 1024;

/** The most lanes that one stream takes. */
const MAX_LANES_OF_STREAM = 6;

const DEFAULT_MAX_LANES = 8;

/** A lane that is used by one stream, until this is disposed. */
export interface LaneLease extends Disposable {
  readonly lane: Lane;
}

/** How a pool treats its lanes. */
export interface LanePoolOptions {
  readonly stallMs: number;
  /** The most lanes at once; 8 where absent. */
  readonly maxLanes?: number | undefined;
}

/**
 * The SFTP sessions to one peer. A call takes one that is there; a stream of bytes takes one of its own as long as there may be
 * more, and further ones where latency would hold it up. Sessions that failed are forgotten: the next call opens a new one.
 */
export class LanePool implements AsyncDisposable {
  readonly #engine: SshEngine;
  readonly #stallMs: number;
  readonly #maxLanes: number;
  readonly #lanes = new Set<Lane>();
  #opening: Promise<Lane> | undefined;
  #openingCount = 0;
  readonly #end = new AbortController();

  constructor(engine: SshEngine, { stallMs, maxLanes = DEFAULT_MAX_LANES }: LanePoolOptions) {
    this.#engine = engine;
    this.#stallMs = stallMs;
    this.#maxLanes = maxLanes;
  }

  /** A lane for calls. @throws PeerError; the signal's reason */
  async lane(signal?: AbortSignal): Promise<Lane> {
    return this.#idlest() ?? (await orAbort(this.#first(), signal));
  }

  /** A lane for a stream: one that no other stream uses, where there may be one more. @throws PeerError; the signal's reason */
  async lease(signal?: AbortSignal): Promise<LaneLease> {
    const idlest = await this.lane(signal);
    if (idlest.transfers === 0 || this.#lanes.size + this.#openingCount >= this.#maxLanes) return leaseOf(idlest);
    // Where no further session can be had (sshd limits them), those that are there must do.
    const fresh = await orAbort(this.#open(), signal).catch((error: unknown) => {
      signal?.throwIfAborted();
      if (idlest.client.failure !== undefined) throw error;
      return idlest;
    });
    return leaseOf(fresh);
  }

  /** How many lanes a stream needs that would go over `lane`, so that waiting for answers does not hold it up. */
  lanesWanted({ roundTripMs }: Lane): number {
    const ofOne = CHANNEL_WINDOW_BYTES / (roundTripMs / 1000);
    return Math.max(1, Math.min(MAX_LANES_OF_STREAM, this.#maxLanes, Math.ceil(WANTED_BYTES_PER_SECOND / ofOne)));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort(new PeerError('unavailable', { message: 'the connection was closed on this side' }));
    await Promise.all([...this.#lanes].map((lane) => lane[Symbol.asyncDispose]()));
  }

  #idlest(): Lane | undefined {
    for (const lane of this.#lanes) if (lane.client.failure !== undefined) this.#lanes.delete(lane);
    return [...this.#lanes].reduce<Lane | undefined>(
      (best, lane) => (best === undefined || lane.transfers < best.transfers ? lane : best),
      undefined,
    );
  }

  /** Callers that come at once wait for the same first lane. */
  #first(): Promise<Lane> {
    this.#opening ??= this.#open().finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(): Promise<Lane> {
    this.#end.signal.throwIfAborted();
    this.#openingCount += 1;
    try {
      const lane = await openLane(this.#engine, this.#stallMs, this.#end.signal);
      this.#lanes.add(lane);
      return lane;
    } finally {
      this.#openingCount -= 1;
    }
  }
}

function leaseOf(lane: Lane): LaneLease {
  lane.transfers += 1;
  let held = true;
  return {
    lane,
    [Symbol.dispose]: () => {
      if (held) lane.transfers -= 1;
      held = false;
    },
  };
}
