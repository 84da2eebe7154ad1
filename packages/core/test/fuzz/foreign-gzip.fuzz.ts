import { gzipSync } from 'node:zlib';
import { foreignTarget } from './dumps.ts';

const text = Buffer.from('what the disk held, line by line\n'.repeat(20));
const plain = gzipSync(text);
/** With every field that a header can have. */
const full = Buffer.concat([
  Buffer.from([0x1f, 0x8b, 8, 0b1_1110, 0, 0, 0, 0, 0, 3, 2, 0, 1, 2]),
  Buffer.from('name\0comment\0'),
  Buffer.of(0, 0),
  plain.subarray(10),
]);

export default foreignTarget('gzip', [
  plain,
  full,
  Buffer.concat([plain, gzipSync(''), Buffer.alloc(16)]),
  gzipSync(Buffer.alloc(1_000_000)),
]);
