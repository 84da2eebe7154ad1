import { readFile } from 'node:fs/promises';
import process from 'node:process';

import { findDiskUsers } from '../../disks/disk-users.ts';
import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import type { Fill } from '../fill-watch.ts';
import type { Support } from '../provider.ts';
import type { DatasetReport } from './commands.ts';
import { reportDataset, ZfsMissingError } from './commands.ts';
import type { FoundDataset } from './find-dataset.ts';
import { findDataset } from './find-dataset.ts';

const MIB = 1024 * 1024;
/** Of names of datasets and snapshots, characters. */
const MAX_NAME_LENGTH = 255;
/** As long as the name of any snapshot. */
const SAMPLE_NAME = 'gantry-20261123T081500Z-4194304-999-255';
/** Shares of a dataset's space, as for thin pools of LVM: a snapshot is not started from the first on, and given up from the second. */
const MAX_FILL_AT_START = 0.9;
const MAX_FILL = 0.95;

/** What the snapshot of one disk will be. */
export interface DatasetPlan {
  readonly found: FoundDataset;
  readonly dataset: DatasetReport;
}

/** Bytes that a snapshot takes from what is available to a dataset at once. */
export interface Need {
  readonly needed: number;
  readonly available: number;
}

/** What a snapshot of the disk at a path would be; or why there is none. */
export async function planPath(path: string | undefined, signal: AbortSignal): Promise<DatasetPlan | Extract<Support, { ok: false }>> {
  if (path === undefined) return { ok: false, reason: 'it has a URI and no path' };
  let found: FoundDataset | string;
  try {
    found = await findDataset(path);
  } catch (error) {
    return { ok: false, reason: `it cannot be looked at (${errnoName(error) ?? errorText(error)})` };
  }
  if (typeof found === 'string') return { ok: false, reason: found };
  if (process.getuid?.() !== 0) return { ok: false, reason: 'only root can take snapshots of ZFS' };
  const pool = poolOf(found.name);
  // A command would wait for a pool that is suspended, and could not be ended.
  if ((await poolState(pool)) === 'SUSPENDED') return { ok: false, reason: `pool ${pool} is suspended`, isObstacle: true };
  try {
    const dataset = await reportDataset(found.name, signal);
    const reason = whyNot(found, dataset);
    return reason === undefined ? { found, dataset } : { ok: false, reason, isObstacle: await isInUse(path, signal) };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof ZfsMissingError) return { ok: false, reason: error.message };
    return { ok: false, reason: `ZFS cannot be asked about it: ${errorText(error)}`, isObstacle: true };
  }
}

/** The part before the first slash. */
export function poolOf(dataset: string): string {
  return dataset.split('/', 1)[0] ?? '';
}

/** Where the volume that shows a snapshot is: beside its own. */
export function cloneName({ name }: DatasetReport, last: string): string {
  // A volume is always in a file system.
  return `${name.slice(0, name.lastIndexOf('/'))}/${last}`;
}

/** Completes "would be …". */
export function describePlan({ found, dataset }: DatasetPlan): string {
  if (found.kind === 'volume') return `a snapshot of the volume ${dataset.name}, and a clone of it`;
  return `a snapshot of the file system ${dataset.name}, in which it is ${found.inside}`;
}

function whyNot(found: FoundDataset, dataset: DatasetReport): string | undefined {
  const snapshot = `${dataset.name}@${SAMPLE_NAME}`;
  if (Math.max(snapshot.length, cloneName(dataset, SAMPLE_NAME).length) > MAX_NAME_LENGTH)
    return `the name of ${dataset.name} is too long for a snapshot with a name of Gantry`;
  const share = fillOf(dataset);
  if (share >= MAX_FILL_AT_START) return `the space of ${dataset.name} is ${Math.floor(share * 100)} % full: a snapshot could fill it up`;
  return found.kind === 'volume' ? whyTooLittle([needOf(dataset)], dataset.name) : undefined;
}

/**
 * A volume with a reservation must be able to be overwritten as a whole, even if a snapshot keeps what is in it: so a snapshot needs as
 * much as is in it. What is reserved and not used counts as available to the volume alone (dsl_dataset_snapshot_reserve_space of ZFS).
 */
export function needOf({ available, usedByData, refreservation }: DatasetReport): Need {
  const needed = Math.min(usedByData, refreservation);
  return { needed, available: available - Math.max(0, refreservation - usedByData) };
}

/** Of snapshots that draw on the same space. Gives the reason why they cannot be taken. */
export function whyTooLittle(needs: readonly Need[], name: string): string | undefined {
  const needed = needs.reduce((sum, each) => sum + each.needed, 0);
  const available = Math.max(0, ...needs.map((each) => each.available));
  if (needed <= available) return undefined;
  return `${name} has ${Math.floor(available / MIB)} MiB available, and the reservations (refreservation) need ${Math.ceil(needed / MIB)} MiB for a snapshot`;
}

/** A snapshot keeps what is overwritten: at most what the dataset has in it. Where that much is available, it cannot fill the space up. */
function fillOf({ used, available, referenced }: DatasetReport): number {
  return available >= referenced ? 0 : used / (used + available);
}

/** @throws Error where it cannot be asked; the signal's reason */
export async function lookAtFill(name: string, signal: AbortSignal): Promise<Fill> {
  const pool = poolOf(name);
  const state = await poolState(pool);
  if (state === 'SUSPENDED') return { lost: `pool ${pool} is suspended`, isFull: false };
  return fillLevel(await reportDataset(name, signal));
}

export function fillLevel(dataset: DatasetReport): Fill {
  const share = fillOf(dataset);
  const of = `the space of ${dataset.name}`;
  return share >= MAX_FILL ? { lost: `${of} is ${Math.floor(share * 100)} % full`, isFull: true } : { share, of };
}

/** As the kernel has it: `ONLINE`, `DEGRADED`, `SUSPENDED` … Undefined where it does not say. */
async function poolState(pool: string): Promise<string | undefined> {
  return readFile(`/proc/spl/kstat/zfs/${pool}/state`, 'utf8').then(
    (text) => text.trim(),
    () => undefined,
  );
}

async function isInUse(path: string, signal: AbortSignal): Promise<boolean> {
  const { users, hiddenProcesses } = await findDiskUsers(path, signal);
  return users.length > 0 || hiddenProcesses > 0;
}
