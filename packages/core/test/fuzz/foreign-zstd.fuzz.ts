import { constants, zstdCompressSync } from 'node:zlib';
import { foreignTarget } from './dumps.ts';

const text = Buffer.from('what the disk held, line by line\n'.repeat(20));
const checked = zstdCompressSync(text, { params: { [constants.ZSTD_c_checksumFlag]: 1 } });
const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 1, 2, 3]);

export default foreignTarget('zstd', [checked, zstdCompressSync(Buffer.alloc(1_000_000)), Buffer.concat([skippable, checked, checked])]);
