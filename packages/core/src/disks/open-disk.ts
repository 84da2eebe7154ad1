import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, stat } from 'node:fs/promises';
import { GantryError } from '../report/errors.ts';
import { blockDeviceSize, isReadOnlyDevice } from '../system/block-device.ts';
import { diskCallError } from './disk-errors.ts';

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
 * Opens a block device or regular file that is there. A device for writing is opened exclusively: one that is mounted, or that
 * another device is made of, is refused.
 *
 * @throws GantryError `DISK_MISSING`, `DISK_KIND`, `DISK_DENIED`, `DISK_READ_ONLY`, `BUSY`, `DISK_IO`
 */
export async function openDisk(path: string, mode: 'read' | 'write'): Promise<OpenDisk> {
  const kind = await diskKind(path);
  const file = await openAs(path, kind, mode);
  try {
    const stats = await file.stat();
    if (kind === 'block' && mode === 'write' && isReadOnlyDevice(file.fd)) throw readOnly(path);
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

async function openAs(path: string, kind: 'block' | 'file', mode: 'read' | 'write'): Promise<FileHandle> {
  const exclusive = kind === 'block' ? constants.O_EXCL : 0;
  try {
    return await open(path, mode === 'read' ? constants.O_RDONLY : constants.O_WRONLY | exclusive);
  } catch (error) {
    throw diskCallError(path, 'opening', error);
  }
}

function readOnly(path: string): GantryError {
  return new GantryError('DISK_READ_ONLY', {
    message: `${path} is set read-only`,
    hint: 'Make the device writable (blockdev --setrw), or give another.',
  });
}
