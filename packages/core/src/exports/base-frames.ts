import type { Codec } from '../frames/codecs/registry.ts';
import { FormatProblem } from '../frames/damage.ts';
import { codecForReading } from '../frames/decode-dump.ts';
import { decompress } from '../frames/decode-job.ts';
import type { PatchBase } from '../frames/frame-map.ts';
import type { BaseFrames } from '../frames/frame-patcher.ts';
import type { KnownFrames } from '../frames/known-frames.ts';
import { errorText } from '../report/error-text.ts';
import type { MappedDisk, PackStore } from './pack-sources.ts';
import { pathOf, storedPacks } from './pack-sources.ts';
import { fillFromPlace } from './stored-frames.ts';

export interface BaseFramesOptions {
  /** With the packs in the order in which `known` numbers them. */
  readonly disk: MappedDisk;
  readonly known: KnownFrames;
  /** Of the new export: only frames in this codec are used, whose own checksums say whether they were read well. */
  readonly codec: Codec;
  /** Called once, with what cannot be read and why: from then on, there are none. */
  readonly onFailure: (problem: string) => void;
}

/** The frames of earlier exports from which those of a new one may differ little; undefined where they cannot be read or used. */
export function baseFrames(store: PackStore, { disk, known, codec, onFailure }: BaseFramesOptions): BaseFrames | undefined {
  const frames = codecForReading(codec);
  let hasFailed = false;
  if (frames.patches === undefined || !store.capabilities.rangedRead) return undefined;
  const { open } = storedPacks(store, disk);
  return {
    near: (start, plainBytes) => {
      const base = known.wholeNear(start, plainBytes);
      return !hasFailed && base !== undefined && disk.packs[base.pack]?.codec === codec ? base : undefined;
    },
    async read(base, room, signal) {
      try {
        const stored = storedPart(base, room);
        await fillFromPlace(open, base, stored, signal);
        frames.inspect(stored, base.plainBytes);
        return await decompress(frames, stored, room.subarray(0, base.plainBytes));
      } catch (error) {
        signal.throwIfAborted();
        if (!hasFailed) onFailure(`${pathOf(disk, base)} at stored byte ${base.offset} (${errorText(error)})`);
        hasFailed = true;
        return undefined;
      }
    },
  };
}

/** @throws FormatProblem for a frame that has more bytes than any has */
function storedPart({ plainBytes, storedBytes }: PatchBase, room: Uint8Array): Uint8Array {
  const stored = room.subarray(plainBytes, plainBytes + storedBytes);
  if (stored.length < storedBytes) throw new FormatProblem(`${storedBytes} stored bytes cannot be a frame of ${plainBytes}`);
  return stored;
}
