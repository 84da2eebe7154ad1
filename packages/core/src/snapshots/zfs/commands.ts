import { errorText } from '../../report/error-text.ts';
import { errnoName } from '../../system/errno-name.ts';
import type { ProcessGroup } from '../../system/process-group.ts';
import type { Argv } from '../../system/run-command.ts';
import { runCommand } from '../../system/run-command.ts';

/** A command waits until what it changed is on the pool's disks. */
const TIMEOUT_S = 60;
/** Names of some 20,000 datasets. */
const MAX_REPORT_BYTES = 4 * 1024 * 1024;

export interface ZfsOptions {
  readonly signal: AbortSignal;
  readonly started?: (group: ProcessGroup) => Promise<void>;
}

/** The program is not there. */
export class ZfsMissingError extends Error {
  override readonly name = 'ZfsMissingError';
}

/** A file system or a volume of ZFS. Bytes; names of properties as in zfsprops(7), and `usedByData` is `usedbydataset`. */
export interface DatasetReport {
  readonly name: string;
  /** A number that stays when the dataset is renamed: of 64 bits, so as text. */
  readonly guid: string;
  readonly used: number;
  readonly available: number;
  readonly referenced: number;
  readonly usedByData: number;
  readonly refreservation: number;
}

const FIELDS = 'name,guid,used,available,referenced,usedbydataset,refreservation';

/** @throws ZfsMissingError; Error with the last lines of zfs(8); the signal's reason */
export async function reportDataset(name: string, signal: AbortSignal): Promise<DatasetReport> {
  const line = await runZfs(['zfs', 'list', '-H', '-p', '-t', 'filesystem,volume', '-o', FIELDS, name], { signal });
  return parseDataset(line);
}

/** @param line of `zfs list -Hp`: fields between tabs; `-` is a property that the dataset lacks, as file systems lack some of volumes */
export function parseDataset(line: string): DatasetReport {
  const [name = '', guid = '', ...rest] = line.trim().split('\t');
  const [used, available, referenced, usedByData, refreservation] = rest.map((text) => (text === '-' ? 0 : Number(text)));
  const numbers = [used, available, referenced, usedByData, refreservation];
  if (name === '' || !/^\d+$/.test(guid) || numbers.some((number) => number === undefined || !(number >= 0)))
    throw new Error(`zfs list says what is not understood: ${line.trim()}`);
  return {
    name,
    guid,
    used: used ?? 0,
    available: available ?? 0,
    referenced: referenced ?? 0,
    usedByData: usedByData ?? 0,
    refreservation: refreservation ?? 0,
  };
}

/** The name that the dataset with this number has now. @throws as {@link reportDataset} */
export async function datasetName(guid: string, signal: AbortSignal): Promise<string | undefined> {
  return nameOf(guid, await runZfs(['zfs', 'list', '-H', '-p', '-t', 'filesystem,volume', '-o', 'name,guid'], { signal }));
}

/** The name that the pool with this number has now. @throws as {@link reportDataset} */
export async function poolName(guid: string, signal: AbortSignal): Promise<string | undefined> {
  return nameOf(guid, await runZfs(['zpool', 'list', '-H', '-p', '-o', 'name,guid'], { signal }));
}

/** @throws as {@link reportDataset} */
export async function poolGuid(name: string, signal: AbortSignal): Promise<string> {
  return (await runZfs(['zpool', 'list', '-H', '-p', '-o', 'guid', name], { signal })).trim();
}

function nameOf(guid: string, lines: string): string | undefined {
  return lines
    .split('\n')
    .map((line) => line.split('\t'))
    .find(([, number]) => number === guid)?.[0];
}

/** Takes all snapshots, of datasets of one pool, at one moment: all or none. @param snapshots `DATASET@NAME` */
export async function createSnapshots(snapshots: readonly string[], options: ZfsOptions): Promise<void> {
  await runZfs(['zfs', 'snapshot', ...snapshots], options);
}

/**
 * Makes a volume of a snapshot of one. It is writable, gets no partitions from the kernel, and those who take snapshots of all volumes
 * are asked to leave it out: it could not be removed.
 */
export async function createClone(snapshot: string, clone: string, options: ZfsOptions): Promise<void> {
  await runZfs(['zfs', 'clone', '-o', 'volmode=dev', '-o', 'com.sun:auto-snapshot=false', snapshot, clone], options);
}

/** @returns the volumes and file systems that were made of it; undefined where there is no such snapshot */
export async function clonesOf(snapshot: string, signal: AbortSignal): Promise<readonly string[] | undefined> {
  try {
    const names = (await runZfs(['zfs', 'get', '-H', '-p', '-o', 'value', 'clones', snapshot], { signal })).trim();
    return names === '' || names === '-' ? [] : names.split(',');
  } catch (error) {
    signal.throwIfAborted();
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

/** A snapshot, or a volume that has none. Does nothing where it is not there. */
export async function destroy(name: string, signal: AbortSignal): Promise<void> {
  try {
    await runZfs(['zfs', 'destroy', name], { signal });
  } catch (error) {
    signal.throwIfAborted();
    if (!isAbsent(error)) throw error;
  }
}

/** Mounts a snapshot of a file system. @param directory empty */
export async function mountSnapshot(snapshot: string, directory: string, options: ZfsOptions): Promise<void> {
  await runZfs(['mount', '-t', 'zfs', '-o', 'ro,nosuid,nodev,noexec', snapshot, directory], options);
}

export async function unmount(directory: string, signal: AbortSignal): Promise<void> {
  await runZfs(['umount', directory], { signal });
}

/** Of zfs, which says so in English with LC_ALL=C. */
function isAbsent(error: unknown): boolean {
  return /does not exist|could not find any snapshots/.test(errorText(error));
}

async function runZfs(argv: Argv, options: ZfsOptions): Promise<string> {
  try {
    return await runCommand(argv, { ...options, timeoutS: TIMEOUT_S, keptBytes: MAX_REPORT_BYTES });
  } catch (error) {
    options.signal.throwIfAborted();
    if (!(error instanceof Error) || errnoName(error.cause) !== 'ENOENT') throw error;
    throw new ZfsMissingError(`${argv[0]} is not installed (Debian package zfsutils-linux)`, { cause: error });
  }
}
