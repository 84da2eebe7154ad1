import { GantryError } from '../report/errors.ts';
import type { Codec } from './types.ts';

/** The levels that a codec has. */
export interface CodecLevels {
  readonly lowest: number;
  readonly highest: number;
  readonly usual: number;
}

/** The levels of each codec; `none` has no levels. docs/formats/dumps.md says what they cost. */
export const CODEC_LEVELS: Readonly<Record<Codec, CodecLevels | undefined>> = {
  zstd: { lowest: 1, highest: 19, usual: 3 },
  gzip: { lowest: 1, highest: 9, usual: 6 },
  none: undefined,
};

/**
 * The level to compress at: the one asked for, if the codec has it, else the codec's usual one; undefined for `none`.
 *
 * @throws GantryError `USAGE`
 */
export function chooseLevel(codec: Codec, level: number | undefined): number | undefined {
  const levels = CODEC_LEVELS[codec];
  if (levels === undefined) {
    if (level === undefined) return undefined;
    throw new GantryError('USAGE', { message: `the codec ${codec} has no levels`, hint: 'Leave the level out.' });
  }
  if (level === undefined) return levels.usual;
  if (Number.isInteger(level) && level >= levels.lowest && level <= levels.highest) return level;
  throw new GantryError('USAGE', {
    message: `the codec ${codec} has no level ${level}`,
    hint: `Give a whole number from ${levels.lowest} to ${levels.highest}.`,
  });
}
