import { readdir, readFile, readlink } from 'node:fs/promises';

import { diskIdentity } from '../disks/disk-identity.ts';
import { errnoName } from '../system/errno-name.ts';

/*
 * What a server of QEMU has open (proc_pid_fd(5)): QEMU opens all that the header of an image refers to before it answers. A look at the
 * header before it starts is not enough: a process that may write to the image can change it in between.
 */

/** What a server may have open, besides its standard streams. */
interface Expected {
  /** {@link diskIdentity} of the image. */
  readonly image: string;
  /** Path of the socket that it listens on. */
  readonly socket: string;
}

/** Neither files nor connections; devices that libraries open. */
const NOT_DATA = /^(?:anon_inode:|pipe:|\/dev\/(?:null|u?random)$)/;
const STANDARD_STREAMS = 3;

/**
 * Files and sockets that a process has open and that are not expected, as the kernel names them. None if the process has ended.
 *
 * @throws Error where they cannot be seen
 */
export async function unexpectedFiles(pid: number, { image, socket }: Expected): Promise<readonly string[]> {
  const before = await openedBy(pid);
  const ours = await socketsAt(socket, pid);
  // What is closed meanwhile, such as the connection of a client, may be missing in the list of sockets.
  const after = await openedBy(pid);
  const unexpected: string[] = [];
  for (const [fd, name] of before) {
    if (after.get(fd) !== name || ours.has(name)) continue;
    const identity = name.startsWith('/') ? await ifRunning(diskIdentity(`/proc/${pid}/fd/${fd}`)) : undefined;
    if (identity !== image) unexpected.push(name);
  }
  return unexpected;
}

/** By descriptor, as the kernel names them: a path, or such as `socket:[4711]`. */
async function openedBy(pid: number): Promise<ReadonlyMap<string, string>> {
  const opened = new Map<string, string>();
  for (const fd of (await ifRunning(readdir(`/proc/${pid}/fd`))) ?? []) {
    const name = await ifRunning(readlink(`/proc/${pid}/fd/${fd}`));
    if (name !== undefined && Number(fd) >= STANDARD_STREAMS && !NOT_DATA.test(name)) opened.set(fd, name);
  }
  return opened;
}

/** The socket that listens at a path, and those that it has accepted. */
async function socketsAt(path: string, pid: number): Promise<ReadonlySet<string>> {
  // Num RefCount Protocol Flags Type St Inode Path (proc_pid_net(5)).
  const lines = ((await ifRunning(readFile(`/proc/${pid}/net/unix`, 'utf8'))) ?? '').split('\n');
  const fields = lines.map((line) => /^(?:\S+ +){6}(?<inode>\d+) (?<path>.+)$/.exec(line)?.groups);
  return new Set(fields.flatMap((each) => (each?.['path'] === path ? `socket:[${each['inode'] ?? ''}]` : [])));
}

/** Undefined if the process has ended, or closed the file. */
async function ifRunning<T>(looking: Promise<T>): Promise<T | undefined> {
  return await looking.catch((error: unknown) => {
    if (errnoName(error) === 'ENOENT' || errnoName(error) === 'ESRCH') return undefined;
    throw error;
  });
}
