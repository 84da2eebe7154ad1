import { readFile, readlink } from 'node:fs/promises';
import { relative } from 'node:path';

import { unescapeField } from '../../disks/kernel-users.ts';

/** Where an open file is. */
export interface MountOfFile {
  /** Of the file system, such as `zfs`. */
  readonly type: string;
  /** For ZFS, the name of the dataset. */
  readonly source: string;
  /** Path of the file in its file system, without a slash before it. */
  readonly inside: string;
}

/**
 * The mount through which a file was opened, by the number that the kernel gives both (proc_pid_fdinfo(5), proc_pid_mountinfo(5)).
 * @returns undefined where it is not below its mount point any more, or has no name
 */
export async function mountOfFile(fd: number): Promise<MountOfFile | undefined> {
  const [info, mounts, path] = await Promise.all([
    readFile(`/proc/self/fdinfo/${fd}`, 'utf8'),
    readFile('/proc/self/mountinfo', 'utf8'),
    readlink(`/proc/self/fd/${fd}`),
  ]);
  const [, id = ''] = /^mnt_id:\s*(\d+)$/m.exec(info) ?? [];
  return findMount(mounts, id, path);
}

/** @param mounts the text of `mountinfo`; @param id of the mount; @param path of the file, as this process sees it */
export function findMount(mounts: string, id: string, path: string): MountOfFile | undefined {
  const fields = mounts
    .split('\n')
    .map((line) => line.split(' '))
    .find(([number]) => number === id);
  if (fields === undefined) return undefined;
  const [, , , root = '', mountPoint = '', ...rest] = fields.map(unescapeField);
  // After the optional fields come a dash, the type, and the source.
  const [type = '', source = ''] = rest.slice(rest.indexOf('-') + 1);
  const below = relative(mountPoint, path);
  if (below === '' || below === '..' || below.startsWith('../')) return undefined;
  return { type, source, inside: `${root === '/' ? '' : `${root}/`}${below}`.replace(/^\//, '') };
}
