import { importInstance } from '@gantry/core';
import { consentOf, describeDryRun } from '../consent.ts';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { Session } from '../session.ts';
import type { NewInstanceFlags } from './import-new.ts';
import { describeTarget, importNew } from './import-new.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CONSENT, PARALLEL, RATE, SCRIPTS } from '../command-line/options.ts';

/** Runs `gantry import`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  options: OptionValues<typeof SCRIPTS & typeof CONSENT & typeof RATE & typeof PARALLEL> & {
    readonly to: string;
    readonly disk: readonly number[] | undefined;
    readonly checkFirst: true | undefined;
    readonly allowOtherOs: true | undefined;
  } & NewInstanceFlags,
): Promise<void> {
  const started = performance.now();
  const target = await session.openSourceOf(options.to);
  await using _source = target.source;
  const guard = await describeTarget(session, target, options);
  if (guard === undefined) {
    await importNew(session, [address, reference], target, options);
    return;
  }
  const { instance } = guard;
  await using store = await session.open(address, 'read');
  const result = await importInstance({
    ...session.operation,
    ...consentOf(session, options),
    instance,
    store,
    export: reference,
    disks: options.disk,
    parallel: options.parallel,
    checkFirst: options.checkFirst,
    allowOtherOs: options.allowOtherOs,
    guard,
    forceInUse: options.forceInUse,
  });
  const took = formatDuration(performance.now() - started);
  const done = `imported ${result.reference} into ${instance.name}: ${formatBytes(result.plainBytes)} in ${took}`;
  session.output.result({ operation: 'import', ...result }, result.dryRun ? describeDryRun(session, result.plan) : done);
}
