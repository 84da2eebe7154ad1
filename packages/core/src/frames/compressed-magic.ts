/** The marks with which compressed files begin, as the formats' specifications and Ganeti's tools (gzip, pigz, lzop, zstd, xz, lz4) have them. */
const MARKS: readonly (readonly [string, Uint8Array])[] = [
  ['gzip', Uint8Array.of(0x1f, 0x8b, 0x08)],
  ['zstd', Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)],
  ['xz', Uint8Array.of(0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00)],
  ['lzop', Uint8Array.of(0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a)],
  ['lz4', Uint8Array.of(0x04, 0x22, 0x4d, 0x18)],
  ['bzip2', Uint8Array.of(0x42, 0x5a, 0x68)],
];
/** A frame that zstd and lz4 skip, with which parallel compressors begin: `50` to `5f`, then this. */
const SKIPPABLE = Uint8Array.of(0x2a, 0x4d, 0x18);
/** Behind `BZh` and the level stands the first block's mark, or the end's where there is none. */
const BZIP2_BLOCKS: ReadonlySet<string> = new Set(['314159265359', '177245385090']);

/** How bytes are compressed that begin like this; undefined where they are not, as far as that can be told. */
export function compressionOf(start: Uint8Array): string | undefined {
  const first = start[0];
  if (first !== undefined && first >> 4 === 5 && begins(start.subarray(1), SKIPPABLE)) return 'zstd or lz4';
  const [name] = MARKS.find(([, mark]) => begins(start, mark)) ?? [];
  if (name === 'bzip2' && !BZIP2_BLOCKS.has(Buffer.from(start.subarray(4, 10)).toString('hex'))) return undefined;
  return name;
}

function begins(bytes: Uint8Array, mark: Uint8Array): boolean {
  return bytes.length >= mark.length && mark.every((byte, at) => bytes[at] === byte);
}
