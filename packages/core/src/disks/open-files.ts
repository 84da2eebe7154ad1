import { readlinkSync } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';

import type { Layer } from './disk-layers.ts';
import { layerId } from './disk-layers.ts';
import type { DiskUser } from './disk-user.ts';
import { commandName, processIds } from './kernel-users.ts';

/* Which processes have a disk open (proc_pid_fd(5), proc_pid_fdinfo(5)). */

export interface OpenFiles {
  readonly users: readonly DiskUser[];
  /** Processes whose open files we may not see. */
  readonly hiddenProcesses: number;
}

interface Opening {
  readonly layer: Layer;
  readonly writes: boolean;
}

const ACCESS_MODE = 0o3;
/** Devices that most processes have open, and that are not disks: skipping them saves time. */
const NOT_A_DISK = /^\/dev\/(null|u?random|tty|ptmx|pts\/\d+)$/;

/** Every process that has one of the layers open, once for each layer. */
export async function findOpenFiles(layers: readonly Layer[], signal: AbortSignal): Promise<OpenFiles> {
  const byId = new Map(layers.map((layer) => [layer.id, layer]));
  const users: DiskUser[] = [];
  let hiddenProcesses = 0;
  for (const pid of await processIds()) {
    signal.throwIfAborted();
    const descriptors = await readdir(`/proc/${pid}/fd`).catch((error: unknown) => {
      // Other errors: the process has just ended.
      if (error instanceof Error && 'code' in error && error.code === 'EACCES') hiddenProcesses += 1;
      return [];
    });
    const openings = (await Promise.all(descriptors.map((fd) => openingOf(pid, fd, byId)))).flat();
    for (const layer of new Set(openings.map((opening) => opening.layer))) {
      const writes = openings.some((opening) => opening.layer === layer && opening.writes);
      // A process that only reads the whole disk does not use this part of it.
      if (layer.kind === 'below' && !writes) continue;
      const text = `process ${pid} (${await commandName(pid)}) has ${layer.name} open for ${writes ? 'writing' : 'reading'}`;
      users.push({ text, writes, mayEndSoon: !writes, pid: Number(pid) });
    }
  }
  return { users, hiddenProcesses };
}

async function openingOf(pid: string, fd: string, layers: ReadonlyMap<string, Layer>): Promise<readonly Opening[]> {
  try {
    const link = `/proc/${pid}/fd/${fd}`;
    // Pipes, sockets and the like have no path. This call does not wait for a disk, and there are thousands of descriptors.
    const path = readlinkSync(link);
    if (!path.startsWith('/') || NOT_A_DISK.test(path)) return [];
    const layer = layers.get(layerId(await stat(link, { bigint: true })));
    if (layer === undefined) return [];
    const flags = /^flags:\s*([0-7]+)$/m.exec(await readFile(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))?.[1] ?? '0';
    return [{ layer, writes: (Number.parseInt(flags, 8) & ACCESS_MODE) !== 0 }];
  } catch {
    // It was just closed.
    return [];
  }
}
