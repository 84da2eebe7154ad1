import type { FrameCut } from '../exports/frame-cuts.ts';
import type { MapOptions } from '../exports/layout-dump.ts';
import type { FileForm } from '../exports/layout.ts';
import { dumpFileName, mapFileName, packFileName } from '../exports/layout.ts';
import type { ParentFrames } from '../exports/parent-frames.ts';
import type { Codec } from '../frames/codecs/registry.ts';
import { encodeDump } from '../frames/encode-dump.ts';
import { encodeIncrement } from '../frames/encode-increment.ts';
import { KnownFrames } from '../frames/known-frames.ts';
import type { ChangesOptions, EncodeDisk } from './out.ts';

/** What the dumps of an export are like. */
export interface DumpForm {
  /** The file name of a disk's dump. */
  readonly nameOf: (disk: number) => string;
  /** The names of all large objects of a disk. */
  readonly namesOf: (disk: number) => readonly string[];
  readonly encode: EncodeDisk;
  /** As `encode`, for a disk of which what has not changed since its parent is left out. Undefined without parents. */
  readonly encodeChanged?: ChangesOptions['encode'];
  /** How the frame map of a disk is written; undefined for dumps without. */
  readonly mapOf: (disk: number) => MapOptions | undefined;
}

/** Dumps that are complete by themselves, without frame maps. */
export function fullForm(codec: Codec, file: FileForm = {}): DumpForm {
  const nameOf = (disk: number): string => dumpFileName(disk, codec, file);
  return {
    nameOf,
    namesOf: (disk) => [nameOf(disk)],
    encode: (_disk, source, options) => encodeDump(source, options),
    mapOf: () => undefined,
  };
}

/** Dumps that are complete by themselves, with frame maps, so that later exports can refer to their frames. */
export function firstForm(codec: Codec, file: FileForm = {}): DumpForm {
  const full = fullForm(codec, file);
  return {
    ...full,
    namesOf: (disk) => [full.nameOf(disk), mapFileName(disk, file)],
    encode: (_disk, source, options) =>
      encodeDump(source, { ...options, withMap: true, withDigest: !isEncrypted(file), endOnFailure: true }),
    mapOf: (disk) => ({ disk, cut: 'place', packs: [] }),
  };
}

/** What is stored then is digested after the encryption. */
function isEncrypted({ sealed }: FileForm): boolean {
  return sealed !== undefined;
}

const NO_FRAMES: ParentFrames = { known: new KnownFrames([], 0), packs: [] };

/**
 * Packs with the frames that are not known.
 *
 * @param parents the frames that are, by disk; for a disk that is absent, none are
 */
export function incrementForm(codec: Codec, cut: FrameCut, parents: ReadonlyMap<number, ParentFrames>, file: FileForm = {}): DumpForm {
  const nameOf = (disk: number): string => packFileName(disk, codec, file);
  const parentOf = (disk: number): ParentFrames => parents.get(disk) ?? NO_FRAMES;
  const encode: ChangesOptions['encode'] = (disk, source, options) => {
    const { known, bases } = parentOf(disk);
    const withDigest = !isEncrypted(file);
    return encodeIncrement(source, { ...options, known, bases, byContent: cut === 'content', withDigest, endOnFailure: true });
  };
  return {
    nameOf,
    namesOf: (disk) => [nameOf(disk), mapFileName(disk, file)],
    encode,
    encodeChanged: encode,
    mapOf: (disk) => ({ disk, cut, packs: parentOf(disk).packs }),
  };
}
