import type { BigIntStats } from 'node:fs';
import { readlinkSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';

import { deviceNumber } from './disk-identity.ts';

/*
 * Who has a disk open for writing, as far as the kernel tells: processes (proc_pid_fd(5), proc_pid_fdinfo(5)), loop devices, mounted
 * file systems (proc_pid_mountinfo(5)) and devices stacked on top (/sys/dev/block/…/holders, /sys/block/…/dm), each of them in turn.
 * Not seen: processes of other users unless we are root, mounts of other mount namespaces, other machines, and files that are
 * mapped into memory after their descriptor was closed.
 */

export interface DiskWriters {
  /** One clause each, such as `process 4711 (qemu-system-x86) has it open for writing`. */
  readonly writers: readonly string[];
  /** Processes whose open files we were not allowed to see. */
  readonly hiddenProcesses: number;
}

/** A file or block device, and how to speak of it. */
interface Target {
  readonly stats: BigIntStats;
  readonly name: string;
}

const ACCESS_MODE = 0o3;
/** What most descriptors of most processes lead to. */
const NEVER_A_DISK = /^\/dev\/(null|u?random|tty|ptmx|pts\/\d+)$/;
/** Devices stacked upon devices: more than anybody stacks, and an end where a loop would have none. */
const DEEPEST_STACK = 8;

/** Looks for everybody who may write to the disk at `path` now. @throws what stat(2) says of the path; the signal's reason */
export async function findDiskWriters(path: string, signal: AbortSignal): Promise<DiskWriters> {
  const targets = await stackUpon({ stats: await stat(path, { bigint: true }), name: 'it' }, DEEPEST_STACK);
  signal.throwIfAborted();
  const { writers, hiddenProcesses } = await openForWriting(targets, signal);
  const mounted = await Promise.all(targets.map(mountedWritable));
  return { writers: [...mounted.flat(), ...writers, ...targets.slice(1).map(describeLayer)], hiddenProcesses };
}

function describeLayer(target: Target): string {
  return `it is writable as ${target.name}`;
}

/** The disk itself, then every writable device on top of it. */
async function stackUpon(target: Target, depth: number): Promise<readonly Target[]> {
  if (depth === 0) return [target];
  const above = target.stats.isBlockDevice() ? await devicesUpon(target.stats) : await loopDevicesOf(target.stats);
  const stacks = await Promise.all(above.map((device) => stackUpon(device, depth - 1)));
  return [target, ...stacks.flat()];
}

async function loopDevicesOf(file: BigIntStats): Promise<readonly Target[]> {
  const names = (await readdir('/sys/block')).filter((name) => name.startsWith('loop'));
  const found = await Promise.all(
    names.map(async (name) => {
      const backing = await readSys(`/sys/block/${name}/loop/backing_file`);
      const stats = backing === undefined ? undefined : await stat(backing, { bigint: true }).catch(() => undefined);
      return stats !== undefined && isSameFile(stats, file) ? await writableDevice(name) : [];
    }),
  );
  return found.flat();
}

/** Partitions of the device, and what is stacked upon it: device mapper, RAID, loop devices. */
async function devicesUpon(device: BigIntStats): Promise<readonly Target[]> {
  const directory = `/sys/dev/block/${deviceNumber(device.rdev)}`;
  const entries = await readdir(directory).catch(() => []);
  const partitions = await Promise.all(
    entries.map(async (name) => ((await readSys(`${directory}/${name}/partition`)) === undefined ? [] : [name])),
  );
  const holders = await readdir(`${directory}/holders`).catch(() => []);
  const above = await Promise.all([...partitions.flat(), ...holders].map(writableDevice));
  return [...above.flat(), ...(await loopDevicesOf(device))];
}

async function writableDevice(name: string): Promise<readonly Target[]> {
  if ((await readSys(`/sys/class/block/${name}/ro`)) !== '0') return [];
  const stats = await stat(`/dev/${name}`, { bigint: true }).catch(() => undefined);
  if (stats === undefined) return [];
  const mapped = await readSys(`/sys/class/block/${name}/dm/name`);
  return [{ stats, name: mapped === undefined ? `/dev/${name}` : `/dev/mapper/${mapped}` }];
}

async function mountedWritable(target: Target): Promise<readonly string[]> {
  if (!target.stats.isBlockDevice()) return [];
  const lines = (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').filter((line) => line !== '');
  const found = await Promise.all(
    lines.map(async (line) => {
      const [, , device, , mountPoint = '', ...rest] = line.split(' ');
      // After the optional fields stand a dash, the type, the source and the options of the file system itself.
      const [, source = '', options = ''] = rest.slice(rest.indexOf('-') + 1);
      // btrfs and others show a number that no device has: there the source tells.
      const isOurs = device === deviceNumber(target.stats.rdev) || (await isDevice(unescape(source), target.stats));
      return isOurs && options.split(',').includes('rw') ? [`${target.name} is mounted writable on ${unescape(mountPoint)}`] : [];
    }),
  );
  return [...new Set(found.flat())];
}

async function isDevice(source: string, device: BigIntStats): Promise<boolean> {
  if (!source.startsWith('/dev/')) return false;
  const stats = await stat(source, { bigint: true }).catch(() => undefined);
  return stats?.isBlockDevice() === true && stats.rdev === device.rdev;
}

/** mountinfo writes space, tab, newline and backslash as three octal digits. */
function unescape(field: string): string {
  return field.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCodePoint(Number.parseInt(octal, 8)));
}

async function openForWriting(targets: readonly Target[], signal: AbortSignal): Promise<DiskWriters> {
  const writers: string[] = [];
  let hiddenProcesses = 0;
  for (const pid of (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name))) {
    signal.throwIfAborted();
    const descriptors = await readdir(`/proc/${pid}/fd`).catch((error: unknown) => {
      // Else it has ended just now.
      if (error instanceof Error && 'code' in error && error.code === 'EACCES') hiddenProcesses += 1;
      return [];
    });
    const open = await Promise.all(descriptors.map((fd) => writesTo(pid, fd, targets)));
    for (const target of new Set(open)) {
      if (target !== undefined)
        writers.push(`process ${pid} (${(await readSys(`/proc/${pid}/comm`)) ?? 'ended'}) has ${target.name} open for writing`);
    }
  }
  return { writers, hiddenProcesses };
}

async function writesTo(pid: string, fd: string, targets: readonly Target[]): Promise<Target | undefined> {
  try {
    const link = `/proc/${pid}/fd/${fd}`;
    // Pipes, sockets and the like have no path. The kernel has the answer in memory, and there are thousands to ask for.
    const path = readlinkSync(link);
    if (!path.startsWith('/') || NEVER_A_DISK.test(path)) return undefined;
    const stats = await stat(link, { bigint: true });
    const target = targets.find((one) => isSameFile(one.stats, stats));
    if (target === undefined) return undefined;
    const flags = /^flags:\s*([0-7]+)$/m.exec(await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & ACCESS_MODE) === 0 ? undefined : target;
  } catch {
    // Closed just now.
    return undefined;
  }
}

/** One file by whatever name, one device by whatever node. */
function isSameFile(a: BigIntStats, b: BigIntStats): boolean {
  if (a.isBlockDevice()) return b.isBlockDevice() && a.rdev === b.rdev;
  return a.dev === b.dev && a.ino === b.ino;
}

async function readSys(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trimEnd(),
    () => undefined,
  );
}
