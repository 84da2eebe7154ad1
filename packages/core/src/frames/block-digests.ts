import { createHash, hash } from 'node:crypto';
import { DIGEST_BYTES } from '../system/sha256.ts';
import { sharedBySize } from './shared-by-size.ts';
import { FRAME_SIZE } from './types.ts';
import { zeroBytes } from './zeros.ts';

/** The smallest block: a guest that writes to one place makes at most this much to be sent again. */
export const MIN_BLOCK_BYTES: number = 64 * 1024;
/** A block must fit into one frame. */
export const MAX_BLOCK_BYTES: number = FRAME_SIZE;
/** The digests of all disks together should need no more memory than this. */
const MAX_TABLE_BYTES = 64 * 1024 * 1024;

/** Size of the blocks in which disks are compared, by the bytes of all of them: 64 KiB up to 128 GiB, then more. */
export function blockBytesFor(totalBytes: number): number {
  let blockBytes = MIN_BLOCK_BYTES;
  while (blockBytes < MAX_BLOCK_BYTES && (totalBytes / blockBytes) * DIGEST_BYTES > MAX_TABLE_BYTES) blockBytes *= 2;
  return blockBytes;
}

const zeroDigest = sharedBySize(8, (bytes) => hash('sha256', zeroBytes(bytes), 'buffer'));

/** What is known of the contents of a disk: the SHA-256 of each of its blocks. A block of which nothing is known equals no other. */
export class BlockDigests {
  readonly blockBytes: number;
  readonly diskBytes: number;
  /** 32 zeros where nothing is known: nobody knows data with that digest. */
  readonly table: Buffer;

  constructor(diskBytes: number, blockBytes: number) {
    this.diskBytes = diskBytes;
    this.blockBytes = blockBytes;
    this.table = Buffer.alloc(Math.ceil(diskBytes / blockBytes) * DIGEST_BYTES);
  }

  /** Bytes of a block: all have the same size except the last. */
  sizeOf(block: number): number {
    return Math.min(this.blockBytes, this.diskBytes - block * this.blockBytes);
  }

  /** Notes what a block contains. @returns whether that is what was known of it */
  update(block: number, digest: Uint8Array): boolean {
    const at = block * DIGEST_BYTES;
    if (this.table.compare(digest, 0, DIGEST_BYTES, at, at + DIGEST_BYTES) === 0) return true;
    this.table.set(digest, at);
    return false;
  }

  /** The same for a block of zeros. */
  updateZeros(block: number): boolean {
    return this.update(block, zeroDigest(this.sizeOf(block)));
  }

  /** SHA-256 of all digests, lower-case hexadecimal: equal for equal contents alone. */
  contents(): string {
    return createHash('sha256').update(this.table).digest('hex');
  }
}
