import { realpath, statfs } from 'node:fs/promises';
import { basename, dirname, join, sep } from 'node:path';

/*
 * Where the files of new disks may be. Directories are judged by where they really are: a symbolic link may lead anywhere.
 */

/** Numbers of file systems that are in memory, from linux/magic.h: tmpfs (also that of /dev), ramfs. */
const IN_MEMORY: ReadonlySet<number> = new Set([0x01021994, 0x858458f6]);

/** In most of them, a new file can change what the system runs, or who may log in. */
const SYSTEM_DIRECTORIES = [
  '/bin',
  '/boot',
  '/dev',
  '/etc',
  '/lib',
  '/lib32',
  '/lib64',
  '/libx32',
  '/proc',
  '/root',
  '/run',
  '/sbin',
  '/sys',
  '/usr',
  '/var',
] as const;
const FOR_DISKS = ['/var/lib/libvirt/images', '/var/tmp'] as const;

/**
 * Why a disk cannot be kept as a file of an existing directory; undefined where it can.
 *
 * @throws the error of realpath(3) or statfs(2)
 */
export async function whyNotKept(directory: string): Promise<string | undefined> {
  const real = await realpath(directory);
  if (isIn(real, '/dev')) return `${directory} is ${real}, and what is in /dev can be created only as a logical volume`;
  const { type } = await statfs(real);
  return IN_MEMORY.has(type) ? `the file system of ${directory} is in memory, so that the disk would be lost at the next boot` : undefined;
}

/**
 * Why a new file of this path is made only for a user who names it; undefined where the directory is not one of the system.
 *
 * @throws the error of realpath(3)
 */
export async function whyOnlyNamed(path: string): Promise<string | undefined> {
  const real = join(await realpath(dirname(path)), basename(path));
  const system = SYSTEM_DIRECTORIES.find((directory) => isIn(real, directory));
  if (system !== undefined && !FOR_DISKS.some((directory) => isIn(real, directory))) return `it would be in ${system}`;
  if (dirname(real) === '/') return 'it would be in /';
  return real.split(sep).some((name) => name.startsWith('.')) ? 'it would be hidden' : undefined;
}

function isIn(path: string, directory: string): boolean {
  return path === directory || path.startsWith(`${directory}/`);
}
