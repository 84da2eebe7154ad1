import type { DiffResult, DiskDifference, FrameTotal } from '@gantry/core';
import { diffExports } from '@gantry/core';
import { formatBytes, formatTable } from '@gantry/programs';
import type { Session } from '../session.ts';
import type { UnsealFlags } from '../unsealing.ts';

/** Runs `gantry diff`. */
export async function run(
  session: Session,
  [address, first, second]: readonly [string, string, string],
  flags: UnsealFlags,
): Promise<void> {
  await using store = await session.openSealed(address, 'read', flags);
  const { signal, onEvent } = session.operation;
  const result = await diffExports({ store, first, second, signal, onEvent });
  session.output.result({ operation: 'diff', ...result }, describe(result));
}

const HEADING = ['DISK', 'PLAIN', 'ADDED', 'GONE', 'COMPARED BY'];

/** The references stand above the table: two of them would make it wider than most terminals. */
function describe({ first, second, disks }: DiffResult): readonly string[] {
  const isSame = disks.every(
    ({ added, gone, firstBytes, secondBytes }) => added.frames === 0 && gone.frames === 0 && firstBytes === secondBytes,
  );
  const rows = disks.map((disk) => [String(disk.disk), describeSize(disk), describeCount(disk.added), describeCount(disk.gone), disk.by]);
  return [`from ${first}`, `to   ${second}`, '', ...formatTable([HEADING, ...rows]), ...(isSame ? ['', 'no difference'] : [])];
}

function describeSize({ firstBytes, secondBytes }: DiskDifference): string {
  const sizes = [...new Set([firstBytes, secondBytes])].map((bytes) => (bytes === undefined ? '-' : formatBytes(bytes)));
  return sizes.join(' to ');
}

function describeCount({ frames, bytes }: FrameTotal): string {
  return frames === 0 ? '-' : `${formatBytes(bytes)} (${frames} ${frames === 1 ? 'frame' : 'frames'})`;
}
