import type { CodecDefinition } from './codec.ts';
import { GZIP } from './gzip.ts';
import { NONE } from './none.ts';
import { ZSTD } from './zstd.ts';

/** All codecs, the default first. To add one, put a file next to this one and its name here. */
export const CODECS: readonly [typeof ZSTD, typeof GZIP, typeof NONE] = [ZSTD, GZIP, NONE];

/** The name of a codec. */
export type Codec = (typeof CODECS)[number]['name'];

export const CODEC_NAMES: readonly Codec[] = CODECS.map(({ name }) => name);

/** The codec of dumps if none is requested. */
export const DEFAULT_CODEC: Codec = CODECS[0].name;

/** The codec with this name. @throws RangeError for an unknown name: check names from outside with {@link isCodec} first */
export function codecNamed(name: Codec): CodecDefinition<Codec> {
  const found = CODECS.find((codec) => codec.name === name);
  if (found === undefined) throw new RangeError(`unknown codec ${JSON.stringify(name)}`);
  return found;
}

export function isCodec(name: string): name is Codec {
  return CODECS.some((codec) => codec.name === name);
}

/** Whether dumps are stored uncompressed, so that any tool can read them. */
export function isStoredPlain(name: Codec): boolean {
  return codecNamed(name).levels === undefined;
}
