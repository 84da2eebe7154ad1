import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { GantryError } from '../report/errors.ts';
import { blockDeviceSize, isReadOnlyDevice } from '../system/block-device.ts';
import { diskCallError } from './disk-errors.ts';
import { lockAgainstQemu } from './qemu-locks.ts';

export type OpenMode = 'read' | 'write' | 'write shared';

/** An open disk. */
export interface OpenDisk extends AsyncDisposable {
  readonly file: FileHandle;
  readonly path: string;
  readonly kind: 'block' | 'file';
  readonly bytes: number;
  /** The unit in which a file takes space, or a device is best written, bytes. */
  readonly blockBytes: number;
}

/**
 * Opens a block device or regular file that is there. For writing (unless `shared`) it is held exclusively, as far as others heed
 * that: nobody can mount the device meanwhile, and no QEMU opens the file. One that is held already is refused.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `BUSY`, `DISK_IO`
 */
export async function openDisk(path: string, mode: OpenMode): Promise<OpenDisk> {
  const kind = await diskKind(path);
  const file = await openAs(path, kind, mode);
  try {
    const stats = await file.stat();
    if (kind === 'block' && mode !== 'read' && isReadOnlyDevice(file.fd)) throw readOnly(path);
    if (kind === 'file' && mode === 'write' && !lockAgainstQemu(file.fd)) throw lockedByQemu(path);
    const bytes = kind === 'block' ? blockDeviceSize(file.fd) : stats.size;
    return { file, path, kind, bytes, blockBytes: stats.blksize, [Symbol.asyncDispose]: () => file.close() };
  } catch (error) {
    await file.close();
    throw diskCallError(path, 'opening', error);
  }
}

async function diskKind(path: string): Promise<'block' | 'file'> {
  const stats = await stat(path).catch((error: unknown) => {
    throw diskCallError(path, 'opening', error);
  });
  if (stats.isBlockDevice()) return 'block';
  if (stats.isFile()) return 'file';
  throw new GantryError('DISK_KIND', {
    message: `${path} is neither a block device nor a regular file`,
    hint: 'A disk is one or the other; correct its path in the instance file.',
  });
}

async function openAs(path: string, kind: 'block' | 'file', mode: OpenMode): Promise<FileHandle> {
  const exclusive = kind === 'block' && mode === 'write' ? constants.O_EXCL : 0;
  try {
    // QEMU's locks are of the kind that needs a file which is open for reading too.
    return await open(path, mode === 'read' ? constants.O_RDONLY : constants.O_RDWR | exclusive);
  } catch (error) {
    throw diskCallError(path, 'opening', error);
  }
}

function lockedByQemu(path: string): GantryError {
  return new GantryError('BUSY', {
    message: `${path} is in use: QEMU has it open`,
    hint: 'Stop the guest, and try again.',
  });
}

function readOnly(path: string): GantryError {
  return new GantryError('DISK_READ_ONLY', {
    message: `${path} is set read-only`,
    hint: 'Make the device writable (blockdev --setrw), or give another.',
  });
}
