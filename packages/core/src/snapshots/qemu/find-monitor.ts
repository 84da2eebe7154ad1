import { readdir, readFile, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';

import { diskIdentity } from '../../disks/disk-identity.ts';
import { findDiskWriters } from '../../disks/disk-users.ts';

/** A QEMU process that has a disk open. */
export interface QemuProcess {
  readonly pid: number;
  /** Its QMP socket, where its command line names one. */
  readonly qmp?: string;
}

/** The QEMU processes of one run. Disks of one guest are in one process: all processes are looked through only once. */
export class QemuProcesses {
  readonly #known: QemuProcess[] = [];

  /** The QEMU that writes to the disk, as far as the kernel shows it. @throws what stat(2) says of the path; the signal's reason */
  async find(path: string, signal: AbortSignal): Promise<QemuProcess | undefined> {
    const identity = await diskIdentity(path);
    for (const qemu of this.#known) if (await hasOpen(qemu.pid, identity)) return qemu;
    const { users } = await findDiskWriters(path, signal);
    for (const { pid } of users) {
      if (pid === undefined) continue;
      const found = await lookAt(pid).catch(() => undefined);
      if (found === undefined) continue;
      this.#known.push(found);
      return found;
    }
    return undefined;
  }
}

async function hasOpen(pid: number, identity: string): Promise<boolean> {
  const directory = `/proc/${pid}/fd`;
  // A process that has ended has nothing open, and a file that it closes meanwhile is not the disk.
  const names = await readdir(directory).catch(() => []);
  for (const name of names) if ((await diskIdentity(`${directory}/${name}`).catch(() => undefined)) === identity) return true;
  return false;
}

/** @throws what /proc says of a process that is gone */
async function lookAt(pid: number): Promise<QemuProcess | undefined> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8');
  const [program = '', ...parameters] = line.split('\0');
  if (!/(^|\/)(qemu|kvm)[^/]*$/.test(program)) return undefined;
  const socket = qmpSocket(parameters);
  return { pid, ...(socket === undefined ? {} : { qmp: resolve(await readlink(`/proc/${pid}/cwd`), socket) }) };
}

/**
 * The path in `-qmp unix:PATH,…`, or in `-chardev socket,id=ID,path=PATH,…` with `-mon chardev=ID,mode=control` (qemu(1)).
 * Exported for its test.
 */
export function qmpSocket(parameters: readonly string[]): string | undefined {
  const sockets = new Map<string, string>();
  const monitors: string[] = [];
  for (const [at, option] of parameters.entries()) {
    const value = parameters[at + 1] ?? '';
    if (/^--?qmp(-pretty)?$/.test(option) && value.startsWith('unix:')) return splitOptions(value.slice('unix:'.length))[0];
    const options = splitOptions(value);
    const named = (name: string): string | undefined => options.find((each) => each.startsWith(`${name}=`))?.slice(name.length + 1);
    const [id, path] = [named('id'), named('path')];
    if (/^--?chardev$/.test(option) && options[0] === 'socket' && id !== undefined && path !== undefined) sockets.set(id, path);
    if (/^--?mon$/.test(option) && named('mode') === 'control') monitors.push(named('chardev') ?? options[0] ?? '');
  }
  return monitors.map((id) => sockets.get(id)).find((path) => path !== undefined);
}

/** A comma ends a value, unless it is doubled. */
function splitOptions(text: string): readonly string[] {
  return text.split(/(?<!,),(?!,)/).map((option) => option.replaceAll(',,', ','));
}
