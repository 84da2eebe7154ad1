import type { DiskRange } from '../../frames/changed-frames.ts';
import { tryHostLock } from '../../system/host-lock.ts';
import { pause } from '../../system/pause.ts';
import type { Argv } from '../../system/run-command.ts';
import { runLvm } from './commands.ts';

/*
 * Which blocks differ between two thin volumes of a pool: `thin_delta` reads it from the pool's metadata, of which the kernel keeps a
 * snapshot meanwhile. There is one such snapshot for each pool.
 */

/** A line for each range; more is refused. */
const MAX_DELTA_BYTES = 64 * 1024 * 1024;
/** Reading the metadata of a large pool. */
const DELTA_TIMEOUT_S = 600;
const LOCK_PAUSE_MS = 250;
const SECTOR_BYTES = 512;

/** Two thin volumes, by the ids that they have in their pool. */
export interface ThinPair {
  readonly since: string;
  readonly until: string;
}

export interface DeltaOptions {
  /** Called before there is a snapshot of the metadata, and when it is gone: a killed run must not leave it. */
  readonly remember: (isHeld: boolean) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * The ranges in which two thin volumes may differ, in order.
 *
 * @param pool the device of their pool, `MAJOR:MINOR`
 * @throws Error where the pool cannot be asked, for example because another program keeps a snapshot of its metadata; the signal's reason
 */
export async function differentBlocks(pool: string, pair: ThinPair, { remember, signal }: DeltaOptions): Promise<readonly DiskRange[]> {
  await using _lock = await lockPool(pool, signal);
  const metadata = await metadataDevice(pool, signal);
  if (await isHeld(pool, signal)) throw new Error('another program keeps a snapshot of the metadata of its thin pool');
  await remember(true);
  try {
    await send(pool, 'reserve_metadata_snap', signal);
  } catch (error) {
    // Refused by the kernel: another program has it, for which nobody may release it. After a signal nobody knows.
    if (!signal.aborted) await remember(false);
    throw error;
  }
  try {
    const ids = ['--thin1', pair.since, '--thin2', pair.until];
    const argv: Argv = ['thin_delta', '--metadata-snap', ...ids, metadata];
    return parseDelta(await runLvm(argv, { signal, timeoutS: DELTA_TIMEOUT_S, keptBytes: MAX_DELTA_BYTES }));
  } finally {
    await send(pool, 'release_metadata_snap', AbortSignal.timeout(DELTA_TIMEOUT_S * 1000));
    await remember(false);
  }
}

/** Removes what a killed run left. Idempotent. @throws Error where it is still there */
export async function releaseMetadata(pool: string, signal: AbortSignal): Promise<void> {
  await using _lock = await lockPool(pool, signal);
  if (await isHeld(pool, signal)) await send(pool, 'release_metadata_snap', signal);
}

/** Whether anybody has a snapshot of the metadata. */
async function isHeld(pool: string, signal: AbortSignal): Promise<boolean> {
  // `0 196608 thin-pool 3 12/1024 16/1536 40 rw …`: the seventh word is the block of the snapshot, or `-`.
  const [, , target, , , , held = '-'] = (await runLvm(['dmsetup', 'status', ...deviceOptions(pool)], { signal })).trim().split(/\s+/);
  return target === 'thin-pool' && held !== '-';
}

/** Waits for other runs on this host: each takes some seconds at most. */
async function lockPool(pool: string, signal: AbortSignal): Promise<AsyncDisposable> {
  for (;;) {
    const lock = await tryHostLock(`metadata of the thin pool ${pool}`);
    if (lock !== undefined) return lock;
    await pause(LOCK_PAUSE_MS, signal);
  }
}

async function metadataDevice(pool: string, signal: AbortSignal): Promise<string> {
  const [, , target, metadata = ''] = (await runLvm(['dmsetup', 'table', ...deviceOptions(pool)], { signal })).trim().split(/\s+/);
  if (target !== 'thin-pool' || !/^\d+:\d+$/.test(metadata)) throw new Error(`the device ${pool} is not a thin pool`);
  return `/dev/block/${metadata}`;
}

async function send(pool: string, message: string, signal: AbortSignal): Promise<void> {
  await runLvm(['dmsetup', 'message', ...deviceOptions(pool), '0', message], { signal });
}

function deviceOptions(pool: string): readonly string[] {
  const [major = '', minor = ''] = pool.split(':');
  return ['--major', major, '--minor', minor];
}

/** Reads what `thin_delta` prints, as XML with a line for each element. @throws Error for something else */
export function parseDelta(text: string): readonly DiskRange[] {
  const blockSectors = Number(/^<superblock [^>]*data_block_size="(\d+)"/.exec(text)?.[1] ?? 0);
  if (blockSectors === 0 || !text.trimEnd().endsWith('</superblock>')) {
    throw new Error(`thin_delta answered what is not a comparison, or more than ${MAX_DELTA_BYTES} bytes`);
  }
  const bytes = blockSectors * SECTOR_BYTES;
  const ranges: DiskRange[] = [];
  for (const [, kind, begin, length] of text.matchAll(/<(\w+) begin="(\d+)" length="(\d+)"\s*\/>/g))
    if (kind !== 'same') ranges.push({ offset: Number(begin) * bytes, length: Number(length) * bytes });
  return ranges.toSorted((a, b) => a.offset - b.offset);
}
