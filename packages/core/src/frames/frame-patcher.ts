import type { FrameCodec, FramePatches } from './frame-codec.ts';
import type { PatchBase } from './frame-map.ts';
import type { PlacedFrame, TakeTurn } from './frame-pipeline.ts';
import type { BudgetShare, MemoryBudget } from './memory-budget.ts';

/** The frames of earlier exports from which new ones may differ little. */
export interface BaseFrames {
  /** Where the whole frame is that one at this place replaces; undefined if there is none that can be used. */
  near(start: number, plainBytes: number): PatchBase | undefined;
  /**
   * Reads it, and checks it by its own checksum.
   *
   * @param room memory for its plain bytes, and its stored bytes after them
   * @returns the start of `room`; undefined if it cannot be read
   * @throws the reason of the signal
   */
  read(base: PatchBase, room: Uint8Array, signal: AbortSignal): Promise<Uint8Array | undefined>;
}

export interface PatcherOptions {
  readonly codec: FrameCodec;
  /** The most that a frame has, plain bytes. */
  readonly frameSize: number;
  readonly bases: BaseFrames;
  readonly budget: MemoryBudget;
  readonly signal: AbortSignal;
}

/** A frame as it is stored: whole, or as its difference from `base`. */
export interface CompressedFrame {
  readonly stored: Uint8Array;
  readonly base?: PatchBase;
}

/** A patch is kept if it has at most this share of the bytes of the whole frame. Why: docs/decisions/0118-patches-of-frames.md. */
const MAX_SHARE = 1 / 2;
/** A patch of a smaller frame saves less than reading its base costs, now and for each restore. */
const MIN_WHOLE_BYTES = 16 * 1024;
/** After this many patches in a row that were not kept, one of as many frames is still tried. */
const PATIENCE = 8;

/** Compresses new frames: as patches of those that they replace, where that is worth it. */
export class FramePatcher {
  readonly #options: PatcherOptions;
  readonly #memory: BudgetShare;
  #inVain = 0;
  #passed = 0;

  constructor(options: PatcherOptions) {
    this.#options = options;
    this.#memory = options.budget.share();
  }

  /** @param turn for what keeps a processor busy: other frames have it while a base is read */
  async compress({ start, plain, output }: PlacedFrame, turn: TakeTurn): Promise<CompressedFrame> {
    const { codec, bases, frameSize, signal } = this.#options;
    const whole = await turn(() => codec.compress(plain, output));
    const base = whole.length < MIN_WHOLE_BYTES || !this.#isWorthTrying() ? undefined : bases.near(start, plain.length);
    if (codec.patches === undefined || base === undefined || base.plainBytes > frameSize) return { stored: whole };
    const room = await this.#memory.acquire(frameSize + codec.storedBound(frameSize), signal);
    try {
      const patch = await this.#patch(codec.patches, plain, base, room, turn);
      const isKept = patch !== undefined && patch.length <= whole.length * MAX_SHARE;
      this.#inVain = isKept ? 0 : this.#inVain + 1;
      if (!isKept) return { stored: whole };
      output.set(patch);
      return { stored: output.subarray(0, patch.length), base };
    } finally {
      this.#memory.release(room);
    }
  }

  async #patch(
    patches: FramePatches,
    plain: Uint8Array,
    place: PatchBase,
    room: Uint8Array,
    turn: TakeTurn,
  ): Promise<Uint8Array | undefined> {
    const { bases, frameSize, signal } = this.#options;
    const base = await bases.read(place, room, signal);
    if (base === undefined || !patches.isPossible(base)) return undefined;
    return await turn(() => patches.compress(plain, base, room.subarray(frameSize)));
  }

  #isWorthTrying(): boolean {
    if (this.#inVain < PATIENCE) return true;
    this.#passed = (this.#passed + 1) % PATIENCE;
    return this.#passed === 0;
  }
}
