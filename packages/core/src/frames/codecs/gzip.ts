import { readForeignGzip } from '../foreign-gzip.ts';
import { gzipCodec } from '../gzip-codec.ts';
import type { CodecDefinition } from './codec.ts';

export const GZIP: CodecDefinition<'gzip'> = {
  name: 'gzip',
  suffix: '.gz',
  levels: { lowest: 1, highest: 9, usual: 6 },
  frames: gzipCodec,
  readForeign: readForeignGzip,
};
