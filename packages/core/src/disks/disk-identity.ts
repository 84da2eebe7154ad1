import type { BigIntStats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';

/**
 * Identifies a disk on this machine, the same for all paths to it: device and inode of a file, number of a block device. A loop device
 * that shows a complete file is that file.
 */
export async function diskIdentity(path: string): Promise<string> {
  const stats = await stat(path, { bigint: true });
  if (!stats.isBlockDevice()) return `file-${stats.dev}-${stats.ino}`;
  const backing = await completeBackingFile(stats);
  return backing === undefined ? `block-${deviceNumber(stats.rdev, '-')}` : `file-${backing.dev}-${backing.ino}`;
}

/** A device number as the kernel writes it in /sys and /proc, `MAJOR:MINOR` (makedev(3)). */
export function deviceNumber(number: bigint, between: '-' | ':' = ':'): string {
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & 0xfffff000n);
  const minor = (number & 0xffn) | ((number >> 12n) & 0xffffff00n);
  return `${major}${between}${minor}`;
}

async function completeBackingFile(device: BigIntStats): Promise<BigIntStats | undefined> {
  const loop = `/sys/dev/block/${deviceNumber(device.rdev)}/loop`;
  try {
    const [file, offset, sizeLimit] = await Promise.all(
      ['backing_file', 'offset', 'sizelimit'].map(async (name) => (await readFile(`${loop}/${name}`, 'utf8')).trimEnd()),
    );
    if (file === undefined || offset !== '0' || sizeLimit !== '0') return undefined;
    return await stat(file, { bigint: true });
  } catch {
    // Not a loop device, or its file was removed or is not visible here.
    return undefined;
  }
}
