import type { CodecDefinition } from './codec.ts';
import { GZIP } from './gzip.ts';
import { NONE } from './none.ts';
import { ZSTD } from './zstd.ts';

/** Every codec there is, the usual one first. A new one is a file beside this, and its name here. */
export const CODECS: readonly [typeof ZSTD, typeof GZIP, typeof NONE] = [ZSTD, GZIP, NONE];

/** The name of a codec. */
export type Codec = (typeof CODECS)[number]['name'];

export const CODEC_NAMES: readonly Codec[] = CODECS.map(({ name }) => name);

/** What dumps are compressed with where nothing else is asked for. */
export const DEFAULT_CODEC: Codec = CODECS[0].name;

/** The codec of that name. @throws RangeError where there is none: what comes from elsewhere is checked with {@link isCodec} */
export function codecNamed(name: Codec): CodecDefinition<Codec> {
  const found = CODECS.find((codec) => codec.name === name);
  if (found === undefined) throw new RangeError(`there is no codec ${JSON.stringify(name)}`);
  return found;
}

export function isCodec(name: string): name is Codec {
  return CODECS.some((codec) => codec.name === name);
}

/** Whether a dump is stored as it is, so that anybody can read it without unpacking. */
export function isStoredPlain(name: Codec): boolean {
  return codecNamed(name).levels === undefined;
}
