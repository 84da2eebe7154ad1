import { chmod, chown, mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { isSocketPathTooLong } from '../../system/socket-path.ts';
import type { Domain } from './domain.ts';
import type { LibvirtGuest } from './find-disk.ts';
import type { LibvirtSnapshotConfig } from './libvirt-config.ts';
import { scratchFilesOf } from './libvirt-record.ts';

/** Where libvirt keeps what belongs to one run of a guest. QEMU may make sockets there, also where AppArmor or SELinux confine it. */
const GUEST_DIRECTORIES = '/var/lib/libvirt/qemu';

/**
 * The directory for the NBD socket: the configured one, or the guest's own, or else that of its scratch files.
 * @param directory ours, below which scratch files are
 */
export async function socketDirectory(
  { uri }: LibvirtGuest,
  { socket }: LibvirtSnapshotConfig,
  { id }: Domain,
  directory: string,
): Promise<string> {
  if (socket !== undefined) return socket;
  const names = isSystemLibvirt(uri) ? await readdir(GUEST_DIRECTORIES).catch(() => []) : [];
  const own = names.find((name) => name.startsWith(`domain-${id}-`));
  return own === undefined ? scratchFilesOf(directory) : join(GUEST_DIRECTORIES, own);
}

/** Others have their directories elsewhere. */
function isSystemLibvirt(uri: string): boolean {
  const { pathname, search } = new URL(uri);
  return pathname === '/system' && search === '';
}

/** @throws Error where a socket cannot have this path */
export function assertSocketPath(path: string): void {
  if (isSocketPathTooLong(path)) throw new Error(`the path of its NBD socket is too long (${path}): name a shorter directory as "socket"`);
}

/** What libvirt is to make, in XML. */
export interface Descriptions {
  readonly backup: string;
  readonly checkpoint?: string | undefined;
}

/** Makes our directory, with descriptions, and below it one in which the guest's QEMU may write. */
export async function makeScratch(directory: string, { backup, checkpoint }: Descriptions, owner: Domain['owner']): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  // QEMU has to get through, also with a strict umask.
  await chmod(directory, 0o711);
  await writeFile(descriptionOf(directory), backup, { mode: 0o600, flag: 'wx' });
  if (checkpoint !== undefined) await writeFile(checkpointOf(directory), checkpoint, { mode: 0o600, flag: 'wx' });
  const files = scratchFilesOf(directory);
  await mkdir(files, { mode: 0o700 });
  if (owner !== undefined) await chown(files, owner.uid, owner.gid);
}

/** The file that describes the backup. */
export function descriptionOf(directory: string): string {
  return join(directory, 'backup.xml');
}

/** The file that describes the checkpoint. */
export function checkpointOf(directory: string): string {
  return join(directory, 'checkpoint.xml');
}
