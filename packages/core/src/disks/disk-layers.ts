import type { BigIntStats } from 'node:fs';
import { readdir, readFile, stat } from 'node:fs/promises';

import { deviceNumber } from './disk-identity.ts';

/*
 * What a disk is part of, and what is stacked on it, as the kernel shows in /sys: partitions, loop devices, and holders (device
 * mapper, RAID, bcache).
 */

/** A file or block device that gives access to the bytes of a disk. */
export interface Layer {
  /** For messages: `it` for the disk itself. */
  readonly name: string;
  /** `below`: the disk is a part of it or stored in it. `holder`: a device that the kernel stacked on the disk. */
  readonly kind: 'disk' | 'below' | 'partition' | 'loop' | 'holder';
  /** See {@link layerId}. */
  readonly id: string;
  readonly readOnly: boolean;
}

/** More devices than are stacked in practice; also ends a cycle. */
const MAX_STACK_DEPTH = 8;

/** Identifies a file or device independent of its names: a device by its number, a file by its file system and inode. */
export function layerId(stats: BigIntStats): string {
  return stats.isBlockDevice() ? `device ${deviceNumber(stats.rdev)}` : `file ${stats.dev} ${stats.ino}`;
}

/** The disk at `path`, then everything that it is part of and that is stacked on it, each once. @throws the error of stat(2) */
export async function findLayers(path: string): Promise<readonly Layer[]> {
  const disk: Layer = { name: 'it', kind: 'disk', id: layerId(await stat(path, { bigint: true })), readOnly: false };
  const found = new Map([[disk.id, disk]]);
  for (const { layer, isSame } of await layersBelow(disk)) {
    found.set(layer.id, layer);
    // Anything on the file is also on a loop device that shows all of it.
    if (isSame) await addLayersAbove(layer, found, MAX_STACK_DEPTH);
  }
  await addLayersAbove(disk, found, MAX_STACK_DEPTH);
  return [...found.values()];
}

async function addLayersAbove(layer: Layer, found: Map<string, Layer>, depth: number): Promise<void> {
  if (depth === 0) return;
  for (const above of await layersAbove(layer)) {
    if (found.has(above.id)) continue;
    found.set(above.id, above);
    await addLayersAbove(above, found, depth - 1);
  }
}

interface LayerBelow {
  readonly layer: Layer;
  /** Whether it has the same bytes as the disk, from the first to the last. */
  readonly isSame: boolean;
}

/** The device of a partition, the file of a loop device, and so on, downwards. */
async function layersBelow(disk: Layer): Promise<readonly LayerBelow[]> {
  const layers: LayerBelow[] = [];
  let isSame = true;
  for (let layer: Layer | undefined = disk; layer !== undefined && layers.length < MAX_STACK_DEPTH;) {
    const directory = sysDirectory(layer);
    if (directory === undefined) break;
    const backing = await backingFile(directory);
    if (backing !== undefined) isSame &&= await showsAll(directory);
    const number = (await readSys(`${directory}/partition`)) === undefined ? undefined : await readSys(`${directory}/../dev`);
    if (number !== undefined) isSame = false;
    layer =
      backing ?? (number === undefined ? undefined : { name: 'the whole disk', kind: 'below', id: `device ${number}`, readOnly: false });
    if (layer !== undefined) layers.push({ layer, isSame });
  }
  return layers;
}

async function backingFile(directory: string): Promise<Layer | undefined> {
  const path = await readSys(`${directory}/loop/backing_file`);
  const stats = path === undefined ? undefined : await stat(path, { bigint: true }).catch(() => undefined);
  return stats === undefined ? undefined : { name: path ?? '', kind: 'below', id: layerId(stats), readOnly: false };
}

async function showsAll(directory: string): Promise<boolean> {
  const limits = await Promise.all([readSys(`${directory}/loop/offset`), readSys(`${directory}/loop/sizelimit`)]);
  return limits.every((limit) => limit === '0');
}

async function layersAbove(layer: Layer): Promise<readonly Layer[]> {
  const loops = await loopDevicesOf(layer);
  const directory = sysDirectory(layer);
  if (directory === undefined) return loops;
  const entries = await readdir(directory).catch(() => []);
  const partitions = await Promise.all(
    entries.map(async (name) => ((await readSys(`${directory}/${name}/partition`)) === undefined ? [] : deviceLayer(name, 'partition'))),
  );
  const holders = await readdir(`${directory}/holders`).catch(() => []);
  const above = await Promise.all(holders.map((name) => deviceLayer(name, 'holder')));
  return [...partitions.flat(), ...above.flat(), ...loops];
}

async function loopDevicesOf({ id }: Layer): Promise<readonly Layer[]> {
  const names = (await readdir('/sys/block').catch(() => [])).filter((name) => name.startsWith('loop'));
  const found = await Promise.all(
    names.map(async (name) => ((await backingFile(`/sys/block/${name}`))?.id === id ? await deviceLayer(name, 'loop') : [])),
  );
  return found.flat();
}

async function deviceLayer(name: string, kind: Layer['kind']): Promise<readonly Layer[]> {
  const directory = `/sys/class/block/${name}`;
  const [number, readOnly, mapped] = await Promise.all(['dev', 'ro', 'dm/name'].map((entry) => readSys(`${directory}/${entry}`)));
  if (number === undefined) return [];
  // The kernel writes `!` for a slash in the name of a node.
  const node = mapped === undefined ? `/dev/${name.replaceAll('!', '/')}` : `/dev/mapper/${mapped}`;
  return [{ name: node, kind, id: `device ${number}`, readOnly: readOnly !== '0' }];
}

function sysDirectory({ id }: Layer): string | undefined {
  return id.startsWith('device ') ? `/sys/dev/block/${id.slice('device '.length)}` : undefined;
}

async function readSys(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').then(
    (text) => text.trimEnd(),
    () => undefined,
  );
}
