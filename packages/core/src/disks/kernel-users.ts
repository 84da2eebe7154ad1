import { readdir, readFile, readlink, stat } from 'node:fs/promises';

import { deviceNumber } from './disk-identity.ts';
import type { Layer } from './disk-layers.ts';
import { layerId } from './disk-layers.ts';
import type { DiskUser } from './disk-user.ts';

/* Uses of a disk by the kernel: mounted file systems (proc_pid_mountinfo(5)) and swap (proc_swaps(5)). */

interface Mount {
  readonly device: string;
  readonly source: string;
  readonly mountPoint: string;
  readonly writable: boolean;
  /** A process in its mount namespace, if that is not ours. */
  readonly seenBy: string | undefined;
}

/** The file systems that are mounted from these layers, in all mount namespaces that we can see. */
export async function findMounts(layers: readonly Layer[], signal: AbortSignal): Promise<readonly DiskUser[]> {
  const mounts = await readAllMounts(signal);
  const ids = new Map<string, string | undefined>();
  for (const { source } of mounts) if (source.startsWith('/dev/') && !ids.has(source)) ids.set(source, await deviceId(source));
  const users = mounts.flatMap((mount) => {
    // btrfs and others show a number that no device has: for them, compare the source.
    const layer = layers.find(({ id, kind }) => kind !== 'below' && (id === `device ${mount.device}` || id === ids.get(mount.source)));
    return layer === undefined ? [] : [describeMount(layer, mount)];
  });
  return [...new Map(users.map((user) => [user.text, user])).values()];
}

function describeMount({ name }: Layer, { mountPoint, writable, seenBy }: Mount): DiskUser {
  const where = seenBy === undefined ? mountPoint : `${mountPoint} (in the mount namespace of ${seenBy})`;
  return { text: `${name} is mounted ${writable ? 'writable' : 'read-only'} on ${where}`, writes: writable, mayEndSoon: false };
}

/** The mounts of every namespace; ours comes first, so that a mount in several namespaces counts as ours. */
async function readAllMounts(signal: AbortSignal): Promise<readonly Mount[]> {
  const mounts = await readMounts('self', undefined);
  const seen = new Set([await namespaceOf('self')]);
  const known = new Set(mounts.map(({ device, mountPoint }) => `${device} ${mountPoint}`));
  for (const pid of await processIds()) {
    signal.throwIfAborted();
    const namespace = await namespaceOf(pid);
    if (namespace === undefined || seen.has(namespace)) continue;
    seen.add(namespace);
    const others = await readMounts(pid, `process ${pid} (${await commandName(pid)})`);
    mounts.push(...others.filter(({ device, mountPoint }) => !known.has(`${device} ${mountPoint}`)));
  }
  return mounts;
}

async function namespaceOf(pid: string): Promise<string | undefined> {
  return readlink(`/proc/${pid}/ns/mnt`).catch(() => undefined);
}

async function readMounts(pid: string, seenBy: string | undefined): Promise<Mount[]> {
  const text = await readFile(`/proc/${pid}/mountinfo`, 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => line !== '');
  return lines.map((line) => {
    const [, , device = '', , mountPoint = '', ...rest] = line.split(' ');
    // After the optional fields come a dash, the type, the source and the options of the file system itself.
    const [, source = '', options = ''] = rest.slice(rest.indexOf('-') + 1);
    return {
      device,
      source: unescapeField(source),
      mountPoint: unescapeField(mountPoint),
      writable: options.split(',').includes('rw'),
      seenBy,
    };
  });
}

/** The layers that are used as swap. */
export async function findSwap(layers: readonly Layer[]): Promise<readonly DiskUser[]> {
  const lines = (await readFile('/proc/swaps', 'utf8').catch(() => '')).split('\n').slice(1);
  const ids = await Promise.all(
    lines.map(async (line) => {
      const path = unescapeField(line.split(/\s/, 1)[0] ?? '');
      return path === '' ? undefined : await stat(path, { bigint: true }).then(layerId, () => undefined);
    }),
  );
  return layers
    .filter(({ id, kind }) => kind !== 'below' && ids.includes(id))
    .map(({ name }) => ({ text: `${name} is used as swap`, writes: true, mayEndSoon: false }));
}

export async function processIds(): Promise<readonly string[]> {
  return (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name));
}

export async function commandName(pid: string): Promise<string> {
  return readFile(`/proc/${pid}/comm`, 'utf8').then(
    (text) => text.trimEnd(),
    () => 'ended',
  );
}

async function deviceId(path: string): Promise<string | undefined> {
  const stats = await stat(path, { bigint: true }).catch(() => undefined);
  return stats?.isBlockDevice() === true ? `device ${deviceNumber(stats.rdev)}` : undefined;
}

/** These tables write space, tab, newline and backslash as three octal digits. */
export function unescapeField(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)));
}
