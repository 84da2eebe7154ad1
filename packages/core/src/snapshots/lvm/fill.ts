import type { Fill } from '../fill-watch.ts';
import { runLvm } from './commands.ts';

/** Shares of a thin pool's data or metadata space: a snapshot is not started from the first on, and given up from the second. */
export const MAX_POOL_FILL_AT_START = 0.9;
const MAX_POOL_FILL = 0.95;

/**
 * Asks device mapper for the fill level of a classic snapshot, or of the pool of a thin one.
 * @param number of the snapshot, or of the pool: `MAJOR:MINOR`
 * @param name for messages
 * @throws Error where it cannot be asked, as when the device is gone; the signal's reason
 */
export async function lookAtFill(number: string, name: string, signal: AbortSignal): Promise<Fill> {
  const [major = '', minor = ''] = number.split(':');
  return parseFill(await runLvm(['dmsetup', 'status', '--major', major, '--minor', minor], { signal }), name);
}

/**
 * Reads a line of `dmsetup status`: `0 131072 snapshot 1600/16384 16` (sectors used and of all), or
 * `0 131072 thin-pool 2 112/1024 40/1024 - rw …` (blocks of metadata and data).
 */
export function parseFill(line: string, name: string): Fill {
  const [, , target, ...words] = line.trim().split(/\s+/);
  if (target === 'snapshot') return classicFill(words, name);
  if (target === 'thin-pool') return poolFill(words, name);
  return { lost: `${name} is not a snapshot any more`, isFull: false };
}

function classicFill([usage = '']: readonly string[], name: string): Fill {
  const share = shareOf(usage);
  // The kernel calls a snapshot that has overflowed invalid. Some space may seem left: an exception needs a whole chunk.
  if (usage === 'Invalid' || usage === 'Overflow' || (share ?? 0) >= 1) return { lost: `${name} is full`, isFull: true };
  return share === undefined ? { lost: `${name} is in the state ${usage}`, isFull: false } : { share, of: name };
}

function poolFill([, metadata = '', data = '', , mode = 'Fail']: readonly string[], name: string): Fill {
  const shares = [shareOf(metadata), shareOf(data)];
  const [ofMetadata, ofData] = shares;
  if (ofMetadata === undefined || ofData === undefined) return { lost: `thin pool ${name} has failed`, isFull: false };
  if (mode !== 'rw') return { lost: `thin pool ${name} is ${mode}`, isFull: mode === 'out_of_data_space' };
  const share = Math.max(ofMetadata, ofData);
  const of = `the ${ofMetadata > ofData ? 'metadata' : 'data'} space of thin pool ${name}`;
  return share >= MAX_POOL_FILL ? { lost: `${of} is ${Math.floor(share * 100)} % full`, isFull: true } : { share, of };
}

function shareOf(usage: string): number | undefined {
  const [, used, all] = /^(\d+)\/(\d+)$/.exec(usage) ?? [];
  return used === undefined || all === undefined || all === '0' ? undefined : Number(used) / Number(all);
}
