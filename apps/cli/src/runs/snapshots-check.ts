import type { DiskCheck } from '@gantry/core';
import { mergeSettings } from '@gantry/config';
import { ERROR_EXIT_CODES, checkSnapshots } from '@gantry/core';
import type { Session } from '../session.ts';
import { snapshotChoiceOf, snapshotOptionsOf } from './snapshot-choice.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SNAPSHOTS } from '../command-line/snapshot-options.ts';

/** Runs `gantry snapshots check`. */
export async function run(
  session: Session,
  [named]: readonly [string],
  options: OptionValues<typeof SNAPSHOTS> & { readonly disk: readonly number[] | undefined },
): Promise<void> {
  const { signal } = session;
  const described = await session.describe(named);
  const { instance } = described;
  const snapshots = await snapshotChoiceOf(session, described, mergeSettings([await session.settings({}), snapshotOptionsOf(options)]));
  const check = await checkSnapshots({ instance, ...snapshots, disks: options.disk, signal });
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
