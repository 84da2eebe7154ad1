import type { GantryEvent } from '@gantry/core';
import { formatBytes, formatDuration } from './format.ts';

/** The span over which the shown rate is averaged, ms. */
const RATE_WINDOW_MS = 5000;
const BAR_WIDTH = 24;

interface DiskProgress {
  phase: 'running' | 'ended';
  readonly started: number;
  plainBytes: number;
  storedBytes: number;
  expectedBytes: number | undefined;
  samples: { readonly at: number; readonly bytes: number }[];
}

export interface Progress {
  readonly take: (event: GantryEvent) => void;
  readonly running: () => boolean;
  /** One line for each disk that is under way. */
  readonly lines: () => string[];
  /** What to say for good when this very event ended a disk. */
  readonly finishedLine: (event: GantryEvent) => string | undefined;
}

/** Keeps what the events said of each disk, and puts it in words. `now` is a clock in ms. */
export function createProgress(now: () => number): Progress {
  const disks = new Map<number, DiskProgress>();

  const take = (event: GantryEvent): void => {
    if (event.type === 'disk') {
      const known = disks.get(event.disk);
      if (event.phase === 'running') disks.set(event.disk, start(now()));
      else if (known !== undefined && event.phase !== 'waiting') known.phase = 'ended';
    } else if (event.type === 'progress') {
      const disk = disks.get(event.disk);
      if (disk !== undefined) advance(disk, event, now());
    }
  };

  const lines = (): string[] =>
    [...disks.entries()]
      .filter(([, disk]) => disk.phase === 'running')
      .toSorted(([a], [b]) => a - b)
      .map(([index, disk]) => describeRunning(index, disk, now()));

  const finishedLine = (event: GantryEvent): string | undefined => {
    if (event.type !== 'disk' || event.phase !== 'done') return undefined;
    const disk = disks.get(event.disk);
    return disk === undefined ? undefined : describeFinished(event.disk, disk, now());
  };

  return { take, lines, finishedLine, running: () => [...disks.values()].some((disk) => disk.phase === 'running') };
}

function start(at: number): DiskProgress {
  return { phase: 'running', started: at, plainBytes: 0, storedBytes: 0, expectedBytes: undefined, samples: [{ at, bytes: 0 }] };
}

function advance(disk: DiskProgress, event: Extract<GantryEvent, { type: 'progress' }>, at: number): void {
  disk.plainBytes = event.plainBytes;
  disk.storedBytes = event.storedBytes;
  disk.expectedBytes = event.expectedBytes;
  disk.samples.push({ at, bytes: event.plainBytes });
  while (disk.samples.length > 2 && at - (disk.samples[1]?.at ?? at) > RATE_WINDOW_MS) disk.samples.shift();
}

/** Plain bytes a second, over the last seconds. */
function rateOf(disk: DiskProgress, at: number): number {
  const oldest = disk.samples[0];
  const elapsed = at - (oldest?.at ?? at);
  return elapsed <= 0 ? 0 : ((disk.plainBytes - (oldest?.bytes ?? 0)) / elapsed) * 1000;
}

function describeRunning(index: number, disk: DiskProgress, at: number): string {
  const rate = rateOf(disk, at);
  const parts = [`disk ${index}`];
  const amounts = `${formatBytes(disk.plainBytes)} (${formatBytes(disk.storedBytes)} stored)  ${formatBytes(rate)}/s`;
  // What a script expects is its guess: more than all of it is shown as all.
  if (disk.expectedBytes !== undefined && disk.expectedBytes > 0) {
    const share = Math.min(1, disk.plainBytes / disk.expectedBytes);
    const filled = Math.round(share * BAR_WIDTH);
    parts.push(`[${'#'.repeat(filled)}${'.'.repeat(BAR_WIDTH - filled)}] ${String(Math.floor(share * 100)).padStart(3)}%`);
    parts.push(amounts);
    const left = disk.expectedBytes - disk.plainBytes;
    if (rate > 0 && left > 0) parts.push(`${formatDuration((left / rate) * 1000)} left`);
  } else {
    parts.push(amounts);
  }
  return parts.join('  ');
}

function describeFinished(index: number, disk: DiskProgress, at: number): string {
  const elapsed = at - disk.started;
  const rate = elapsed <= 0 ? 0 : (disk.plainBytes / elapsed) * 1000;
  const amounts = `${formatBytes(disk.plainBytes)} (${formatBytes(disk.storedBytes)} stored)`;
  return `disk ${index}  done  ${amounts} in ${formatDuration(elapsed)}, ${formatBytes(rate)}/s`;
}
