import type { GantryEvent } from '@gantry/core';
import { formatBytes, formatDuration } from '@gantry/programs';
import { progressLine } from './progress-line.ts';
import { Speed } from './speed.ts';

interface DiskProgress {
  phase: 'waiting' | 'running' | 'ended';
  readonly started: number;
  readonly speed: Speed;
  plainBytes: number;
  storedBytes: number;
  expectedBytes: number | undefined;
}

/** The size of the area for progress on a terminal; absent in a log. */
export interface Area {
  readonly width: number;
  readonly height: number;
}

export interface Progress {
  readonly take: (event: GantryEvent) => void;
  readonly running: () => boolean;
  /** One line for each disk in progress, and one for the total if there are several disks. */
  readonly lines: (area?: Area) => readonly string[];
  /** A line that stays, if this event finished a disk. */
  readonly finishedLine: (event: GantryEvent) => string | undefined;
}

/** Keeps the state of each disk from the events, and describes it. `now` is a clock in ms. */
export function createProgress(now: () => number): Progress {
  const disks = new Map<string, DiskProgress>();
  let totalSpeed = new Speed(now());

  const take = (event: GantryEvent): void => {
    if (event.type === 'disk') {
      const label = labelOf(event);
      const known = disks.get(label);
      if (event.phase === 'waiting' || event.phase === 'running') {
        const underWay = [...disks.values()].some(({ phase }) => phase === 'running');
        disks.set(label, begin(event.phase, known, event.expectedBytes, now()));
        // An earlier pass, such as a check of all dumps, does not count.
        if (!underWay) totalSpeed = new Speed(now(), sum(disks, 'plainBytes'));
      } else if (known !== undefined) {
        known.phase = 'ended';
      }
    } else if (event.type === 'progress') {
      const disk = disks.get(labelOf(event));
      if (disk === undefined) return;
      disk.plainBytes = event.plainBytes;
      disk.storedBytes = event.storedBytes;
      disk.expectedBytes = event.expectedBytes ?? disk.expectedBytes;
      disk.speed.reach(event.plainBytes, now());
      totalSpeed.reach(sum(disks, 'plainBytes'), now());
    }
  };

  const lines = (area?: Area): readonly string[] => {
    const at = now();
    const running = [...disks]
      .filter(([, { phase }]) => phase === 'running')
      .toSorted(([a], [b]) => a.localeCompare(b, 'en', { numeric: true }));
    const shown = running.map(([label, disk]) => describe(label, disk, disk.speed, at, area?.width));
    if (disks.size < 2 || running.length === 0) return shown;
    return [...fit(shown, (area?.height ?? Infinity) - 1), describe('total ', total(disks), totalSpeed, at, area?.width, countDone(disks))];
  };

  const finishedLine = (event: GantryEvent): string | undefined => {
    if (event.type !== 'disk' || event.phase !== 'done') return undefined;
    const label = labelOf(event);
    const disk = disks.get(label);
    return disk === undefined ? undefined : describeFinished(label, disk, now());
  };

  return { take, lines, finishedLine, running: () => [...disks.values()].some((disk) => disk.phase === 'running') };
}

/** `disk 0`, or `web1 disk 0` where several instances are under way. */
function labelOf({ disk, instance }: { readonly disk: number; readonly instance?: string | undefined }): string {
  return instance === undefined ? `disk ${disk}` : `${instance} disk ${disk}`;
}

function begin(phase: 'waiting' | 'running', known: DiskProgress | undefined, expected: number | undefined, at: number): DiskProgress {
  const expectedBytes = expected ?? (known?.phase === 'waiting' ? known.expectedBytes : undefined);
  return { phase, started: at, speed: new Speed(at), plainBytes: 0, storedBytes: 0, expectedBytes };
}

type Amounts = Pick<DiskProgress, 'plainBytes' | 'storedBytes' | 'expectedBytes'>;

function describe(label: string, amounts: Amounts, speed: Speed, at: number, width: number | undefined, note?: string): string {
  const { plainBytes, storedBytes, expectedBytes } = amounts;
  const leftMs = expectedBytes === undefined ? undefined : speed.left(expectedBytes - plainBytes, at);
  return progressLine(
    { label, plainBytes, storedBytes, expectedBytes, rate: speed.rate(at), stillMs: speed.stillFor(at), leftMs, note },
    width,
  );
}

/** If not all lines fit, the last one says how many are left out. */
function fit(lines: readonly string[], height: number): readonly string[] {
  if (lines.length <= height) return lines;
  const shown = Math.max(0, height - 1);
  const more = `(${lines.length - shown} more disks)`;
  return height < 1 ? [] : [...lines.slice(0, shown), more];
}

function countDone(disks: ReadonlyMap<string, DiskProgress>): string {
  const ended = [...disks.values()].filter(({ phase }) => phase === 'ended').length;
  return `${ended} of ${disks.size} done`;
}

function total(disks: ReadonlyMap<string, DiskProgress>): Amounts {
  const known = [...disks.values()].every(({ phase, expectedBytes }) => phase === 'ended' || expectedBytes !== undefined);
  // A disk that is done counts with its real size, not with the expected one.
  const expected = (): number =>
    [...disks.values()].reduce((all, disk) => all + (disk.phase === 'ended' ? disk.plainBytes : (disk.expectedBytes ?? 0)), 0);
  return { plainBytes: sum(disks, 'plainBytes'), storedBytes: sum(disks, 'storedBytes'), expectedBytes: known ? expected() : undefined };
}

function sum(disks: ReadonlyMap<string, DiskProgress>, amount: 'plainBytes' | 'storedBytes'): number {
  return [...disks.values()].reduce((all, disk) => all + disk[amount], 0);
}

function describeFinished(label: string, disk: DiskProgress, at: number): string {
  const elapsed = at - disk.started;
  const rate = elapsed <= 0 ? 0 : (disk.plainBytes / elapsed) * 1000;
  const amounts = `${formatBytes(disk.plainBytes)} (${formatBytes(disk.storedBytes)} stored)`;
  return `${label}  done  ${amounts} in ${formatDuration(elapsed)}, ${formatBytes(Math.round(rate))}/s`;
}
