import type { BigIntStats } from 'node:fs';
import { diskCallError } from '../disks/disk-errors.ts';
import { findDiskUsers } from '../disks/disk-users.ts';
import type { OpenDisk } from '../disks/open-disk.ts';
import { isSameDisk, openDisk } from '../disks/open-disk.ts';
import { findData } from '../system/sparse.ts';
import type { LongerFile } from './new-disk-plan.ts';

/*
 * A file that an import enlarges is the user's, and others may use it before and after: so the size that counts is always that of now.
 */

/** A file with new zeros at its end. */
export interface EnlargedFile {
  readonly index: number;
  readonly path: string;
  readonly stats: BigIntStats;
  readonly bytesBefore: number;
  readonly bytes: number;
}

/**
 * Enlarges a file to what the plan says. One that is as large by now is left alone: undefined.
 *
 * @throws GantryError `DISK_*`; `BUSY` where QEMU has it open, unless `forceInUse`
 */
export async function enlargeFile({ index, path, bytes }: LongerFile, forceInUse: boolean): Promise<EnlargedFile | undefined> {
  await using disk = await openDisk(path, forceInUse ? 'write shared' : 'write');
  if (disk.kind !== 'file' || disk.bytes >= bytes) return undefined;
  try {
    const stats = await disk.file.stat({ bigint: true });
    await disk.file.truncate(bytes);
    return { index, path, stats, bytesBefore: disk.bytes, bytes };
  } catch (error) {
    throw diskCallError(path, 'enlarge', error);
  }
}

/** Gives a file its size back if nobody has resized it, uses it, or has written to its end: zeros there do no harm. @throws Error */
export async function takeSizeBack({ path, stats, bytesBefore, bytes }: EnlargedFile, signal: AbortSignal): Promise<void> {
  const { users } = await findDiskUsers(path, signal);
  if (users.length > 0) return;
  await using disk = await openDisk(path, 'write');
  if (disk.bytes !== bytes || !isSameDisk(stats, await disk.file.stat({ bigint: true }))) return;
  if (!(await isEmptyFrom(disk, bytesBefore))) return;
  await disk.file.truncate(bytesBefore);
}

/** The last block that the file had is allocated, and ends after the file did. */
async function isEmptyFrom({ file, bytes, blockBytes }: OpenDisk, start: number): Promise<boolean> {
  const end = Math.min(bytes, Math.ceil(start / blockBytes) * blockBytes);
  const { bytesRead, buffer } = await file.read(Buffer.alloc(end - start), 0, end - start, start);
  return buffer.subarray(0, bytesRead).equals(Buffer.alloc(end - start)) && (end === bytes || findData(file.fd, end) === undefined);
}
