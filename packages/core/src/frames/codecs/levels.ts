import { GantryError } from '../../report/errors.ts';
import type { Codec } from './registry.ts';
import { CODECS, codecNamed } from './registry.ts';

/**
 * The level to compress at: the requested one, or the codec's default; undefined for a codec that does not compress.
 *
 * @throws GantryError `USAGE` if the codec does not have the requested level
 */
export function chooseLevel(codec: Codec, level: number | undefined): number | undefined {
  const levels = codecNamed(codec).levels;
  if (levels === undefined) {
    if (level === undefined) return undefined;
    throw new GantryError('USAGE', { message: `invalid level ${level}: codec ${codec} has no levels`, hint: 'Omit the level.' });
  }
  if (level === undefined) return levels.usual;
  if (Number.isInteger(level) && level >= levels.lowest && level <= levels.highest) return level;
  throw new GantryError('USAGE', {
    message: `invalid level: codec ${codec} has no level ${level}`,
    hint: `Give a whole number from ${levels.lowest} to ${levels.highest}.`,
  });
}

/** The text for help, such as `zstd 1-19 (default 3), gzip 1-9 (default 6)`. */
export function describeLevels(): string {
  return CODECS.flatMap(({ name, levels }) => {
    if (levels === undefined) return [];
    const { lowest, highest, usual } = levels;
    return [`${name} ${lowest}-${highest} (default ${usual})`];
  }).join(', ');
}
