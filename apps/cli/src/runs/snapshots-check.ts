import { resolve } from 'node:path';
import type { DiskCheck } from '@gantry/core';
import { ERROR_EXIT_CODES, checkSnapshots, readSnapshotConfig } from '@gantry/core';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SNAPSHOTS } from '../command-line/snapshot-options.ts';

/** Runs `gantry snapshots check`. */
export async function run(
  session: Session,
  [named]: readonly [string],
  options: OptionValues<typeof SNAPSHOTS> & { readonly disk: readonly number[] | undefined },
): Promise<void> {
  const { signal, cwd } = session;
  const { instance } = await session.describe(named);
  const snapshotConfig = options.snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(cwd, options.snapshotConfig));
  const { snapshot, snapshotSize, disk: disks } = options;
  const check = await checkSnapshots({ instance, snapshot, snapshotConfig, snapshotSize, disks, signal });
  const possible = check.problems.length === 0 && check.disks.every(({ provider }) => provider !== undefined);
  if (!possible) session.exitWith(ERROR_EXIT_CODES.SNAPSHOT_UNSUPPORTED);
  const lines = [...check.disks.flatMap(describeDisk), ...check.problems.map((problem) => `not possible together: ${problem}`)];
  session.output.result({ operation: 'snapshots-check', instance: instance.name, possible, ...check }, lines);
}

function describeDisk({ disk, target, provider, what, others }: DiskCheck): readonly string[] {
  return [
    `disk ${disk} (${target}): ${provider === undefined ? 'no snapshot is possible' : provider}: ${what}`,
    ...others.map((other) => `  ${other.possible ? 'possible too' : 'not'}: ${other.provider}: ${other.what}`),
  ];
}
