/** The magic numbers of compressed files, as in the formats' specifications and Ganeti's tools (gzip, pigz, lzop, zstd, xz, lz4). */
const MAGIC_NUMBERS: readonly (readonly [string, Uint8Array])[] = [
  ['gzip', Uint8Array.of(0x1f, 0x8b, 0x08)],
  ['zstd', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)],
  ['xz', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)],
  ['lzop', Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a)],
  ['lz4', Uint8Array.of(0x04, 0x22, 0x4d, 0x18)],
  ['bzip2', Uint8Array.of(0x42, 0x5a, 0x68)],
];
/** A frame that zstd and lz4 skip; parallel compressors write one first. Its magic number is `50` to `5f`, then this. */
const SKIPPABLE = Uint8Array.of(0x2a, 0x4d, 0x18);
/** After `BZh` and the level comes the magic number of the first block, or of the end if there are no blocks. */
const BZIP2_BLOCKS: ReadonlySet<string> = new Set(['314159265359', '177245385090']);

/** How data that starts with these bytes is compressed; undefined if it does not look compressed. */
export function detectCompression(start: Uint8Array): string | undefined {
  const first = start[0];
  if (first !== undefined && first >> 4 === 5 && startsWith(start.subarray(1), SKIPPABLE)) return 'zstd or lz4';
  const [name] = MAGIC_NUMBERS.find(([, magic]) => startsWith(start, magic)) ?? [];
  if (name === 'bzip2' && !BZIP2_BLOCKS.has(Buffer.from(start.subarray(4, 10)).toString('hex'))) return undefined;
  return name;
}

function startsWith(bytes: Uint8Array, prefix: Uint8Array): boolean {
  return bytes.length >= prefix.length && prefix.every((byte, at) => bytes[at] === byte);
}
