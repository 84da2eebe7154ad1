import { readForeignZstd } from '../foreign-zstd.ts';
import { zstdCodec } from '../zstd-codec.ts';
import type { CodecDefinition } from './codec.ts';

export const ZSTD: CodecDefinition<'zstd'> = {
  name: 'zstd',
  suffix: '.zst',
  levels: { lowest: 1, highest: 19, usual: 3 },
  frames: zstdCodec,
  readForeign: readForeignZstd,
};
