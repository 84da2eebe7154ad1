import { callLibc, SystemCallError } from './libc.ts';

/*
 * Where the data of a file is on its file system: the ioctl FS_IOC_FIEMAP (Documentation/filesystems/fiemap.rst of Linux; constants from
 * linux/fiemap.h and linux/fs.h).
 */

/** `_IOWR('f', 11, struct fiemap)`; its size is that of the struct without extents. */
const FS_IOC_FIEMAP = 0xc020_660b;
const HEADER_BYTES = 32;
const EXTENT_BYTES = 56;
/** Data that is not written yet is written first. */
const FIEMAP_FLAG_SYNC = 1;
const EXTENTS_AT_ONCE = 512;

const FLAG = { last: 0x1, shared: 0x2000 } as const;

/** Where a part of a file is. */
export interface FileExtent {
  /** In the file, bytes. */
  readonly offset: number;
  readonly length: number;
  /** On the file system, bytes. */
  readonly physical: bigint;
  /** `FIEMAP_EXTENT_*`, but for those that say nothing of the data: whether it is shared, or the last. */
  readonly flags: number;
}

/**
 * The extents of a part of a file, in order. What lies between them is a hole. The first and the last may begin before it and end after
 * it.
 *
 * @throws SystemCallError; `EOPNOTSUPP` or `ENOTTY` where the file system cannot say it
 */
export function* fileExtents(fd: number, offset: number, length: number): Generator<FileExtent, void, undefined> {
  const end = offset + length;
  const buffer = Buffer.alloc(HEADER_BYTES + EXTENTS_AT_ONCE * EXTENT_BYTES);
  for (let at = offset; at < end;) {
    buffer.fill(0, 0, HEADER_BYTES);
    buffer.writeBigUInt64LE(BigInt(at), 0);
    buffer.writeBigUInt64LE(BigInt(end - at), 8);
    buffer.writeUInt32LE(FIEMAP_FLAG_SYNC, 16);
    buffer.writeUInt32LE(EXTENTS_AT_ONCE, 24);
    callLibc('ioctl', fd, FS_IOC_FIEMAP, buffer);
    const count = buffer.readUInt32LE(20);
    let last: FileExtent | undefined;
    let isLast = count === 0;
    for (let index = 0; index < count; index += 1) {
      const from = HEADER_BYTES + index * EXTENT_BYTES;
      const flags = buffer.readUInt32LE(from + 40);
      last = {
        offset: Number(buffer.readBigUInt64LE(from)),
        physical: buffer.readBigUInt64LE(from + 8),
        length: Number(buffer.readBigUInt64LE(from + 16)),
        flags: flags & ~(FLAG.last | FLAG.shared),
      };
      isLast ||= (flags & FLAG.last) !== 0;
      yield last;
    }
    if (isLast || last === undefined) return;
    if (last.offset + last.length <= at) throw new SystemCallError('ioctl', EIO);
    at = last.offset + last.length;
  }
}

/** The kernel has said something that leads nowhere. */
const EIO = 5;
