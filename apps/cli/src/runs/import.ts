import type { ResumedDisk } from '@gantry/core';
import { GantryError, importInstance } from '@gantry/core';
import { consentOf, describeDryRun } from '../consent.ts';
import { formatBytes, formatDuration } from '../output/format.ts';
import { defineChoiceOf } from './define-choice.ts';
import type { Session } from '../session.ts';
import type { NewInstanceFlags } from './import-new.ts';
import { describeTarget, importNew } from './import-new.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CONSENT, DEFINE, PARALLEL, RATE, SCRIPTS } from '../command-line/options.ts';

/** Runs `gantry import`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  options: OptionValues<typeof SCRIPTS & typeof CONSENT & typeof RATE & typeof PARALLEL & typeof DEFINE> & {
    readonly to: string;
    readonly disk: readonly number[] | undefined;
    readonly checkFirst: true | undefined;
    readonly allowOtherOs: true | undefined;
    readonly resume: true | undefined;
  } & NewInstanceFlags,
): Promise<void> {
  const started = performance.now();
  const choice = defineChoiceOf(options);
  const target = await session.openSourceOf(options.to);
  await using _source = target.source;
  const guard = await describeTarget(session, target, options);
  if (guard === undefined) {
    if (choice !== undefined)
      throw new GantryError('USAGE', { message: `${options.to} is made by the import: --define is for other targets` });
    if (options.resume === true)
      throw new GantryError('USAGE', { message: `${options.to} is made by the import: --resume is for instances that exist` });
    await importNew(session, [address, reference], target, options);
    return;
  }
  const { instance } = guard;
  await using source = choice && (await session.openInstances(choice.source));
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
    resume: options.resume,
    allowOtherOs: options.allowOtherOs,
    define: source && { ...choice, source },
    guard,
    forceInUse: options.forceInUse,
  });
  const took = formatDuration(performance.now() - started);
  const done = `imported ${result.reference} into ${instance.name}: ${formatBytes(result.plainBytes)} in ${took}`;
  const { defined } = result;
  const known = defined === undefined ? [] : [`defined ${defined.name} in ${defined.source}${defined.started ? ', and started it' : ''}`];
  const compared = (result.resumed ?? []).map(describeResumed);
  const lines = result.dryRun ? describeDryRun(session, result.plan) : [done, ...compared, ...known];
  session.output.result({ operation: 'import', ...result }, lines);
}

function describeResumed({ disk, comparedBytes, readBytes, writtenBytes }: ResumedDisk): string {
  return `disk ${disk}: compared ${formatBytes(comparedBytes)} (read ${formatBytes(readBytes)}), wrote ${formatBytes(writtenBytes)} that differed`;
}
