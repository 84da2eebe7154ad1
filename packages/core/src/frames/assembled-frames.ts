import { GantryError } from '../report/errors.ts';
import { Uint32List } from '../system/number-lists.ts';
import { FrameMap } from './frame-map.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { ListedFrames } from './listed-frames.ts';

/** With any codec. A disk of 128 TiB in frames of 4 MiB has as many. */
const MAX_FRAMES: number = 32 * 1024 ** 2;

/** The frames of a dump that is put together from frames which are stored already: their sizes, and the frame map that they make. */
export class AssembledFrames implements ListedFrames {
  readonly #storedSizes = new Uint32List();
  readonly #plainSizes = new Uint32List();
  /** Where each frame of the disk is in this dump, which is pack 0. */
  readonly map: FrameMap = new FrameMap();
  readonly #maxFrames: number;
  #storedBytes = 0;

  constructor({ maxFrames }: Pick<FrameCodec, 'maxFrames'>) {
    this.#maxFrames = Math.min(maxFrames, MAX_FRAMES);
  }

  get length(): number {
    return this.#storedSizes.length;
  }

  /** Of all frames so far. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  at(index: number): { readonly storedBytes: number; readonly plainBytes: number } {
    return { storedBytes: this.#storedSizes.at(index) ?? 0, plainBytes: this.#plainSizes.at(index) ?? 0 };
  }

  /** Appends a frame with data. @throws GantryError `USAGE` for more frames than a dump can have */
  frame({
    plainBytes,
    sha256,
    storedBytes,
  }: {
    readonly plainBytes: number;
    readonly sha256: Uint8Array;
    readonly storedBytes: number;
  }): void {
    this.#assertRoom(1);
    this.map.push({ kind: 'frame', plainBytes, sha256, place: { pack: 0, offset: this.#storedBytes, storedBytes } });
    this.#push(storedBytes, plainBytes);
  }

  /**
   * Appends a run of zeros, which a dump that is complete by itself has as frames, although its map does not name them.
   *
   * @throws GantryError `USAGE` for more frames than a dump can have
   */
  zeros(plainBytes: number, frames: readonly ZeroFrames[]): void {
    this.#assertRoom(frames.reduce((sum, { count }) => sum + count, 0));
    if (plainBytes > 0) this.map.push({ kind: 'zeros', plainBytes });
    for (const frame of frames) for (let left = frame.count; left > 0; left -= 1) this.#push(frame.storedBytes, frame.plainBytes);
  }

  /** The frame size and the run of zeros may come from anybody. */
  #assertRoom(count: number): void {
    if (this.length + count <= this.#maxFrames) return;
    throw new GantryError('USAGE', {
      message: `the disk cannot become one dump: it would have more than ${this.#maxFrames} frames`,
      hint: 'Keep the export as it is: it can be imported, verified and copied.',
    });
  }

  #push(storedBytes: number, plainBytes: number): void {
    this.#storedSizes.push(storedBytes);
    this.#plainSizes.push(plainBytes);
    this.#storedBytes += storedBytes;
  }
}

/** Equal frames of zeros. */
export interface ZeroFrames {
  readonly count: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
}

/** Whether all entries of a map begin at multiples of a frame size, and frames with data have that size: but for the end of the disk. */
export function isCutByPlace(map: FrameMap, frameSize: number): boolean {
  for (const { kind, start, plainBytes } of map) {
    const isLast = start + plainBytes === map.plainBytes;
    if (start % frameSize !== 0 || (!isLast && plainBytes % frameSize !== 0) || (kind !== 'zeros' && plainBytes > frameSize)) return false;
  }
  return true;
}

/** How many frames of which plain size a run of zeros makes. */
export function cutZeros(plainBytes: number, frameSize: number): readonly { readonly count: number; readonly plainBytes: number }[] {
  const count = Math.floor(plainBytes / frameSize);
  const rest = plainBytes % frameSize;
  return [...(count === 0 ? [] : [{ count, plainBytes: frameSize }]), ...(rest === 0 ? [] : [{ count: 1, plainBytes: rest }])];
}
