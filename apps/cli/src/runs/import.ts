import type { ResumedDisk } from '@gantry/core';
import { importInstance } from '@gantry/core';
import { formatBytes, formatDuration } from '@gantry/programs';
import { consentOf, describeDryRun } from '../consent.ts';
import { defineChoiceOf } from './define-choice.ts';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import type { NewInstanceFlags } from './import-new.ts';
import { describeTarget, importNew } from './import-new.ts';
import { assertTargetFlags, describedTarget, exportedTarget } from './import-target.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CONSENT, DEFINE, PARALLEL, RATE, SCRIPTS, UNSEAL } from '../command-line/options.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';
import { signersOf } from './signers.ts';
import type { TARGET } from '../command-line/target-options.ts';

/** Runs `gantry import`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  options: OptionValues<
    typeof SCRIPTS & typeof CONSENT & typeof RATE & typeof PARALLEL & typeof DEFINE & typeof TARGET & typeof SIGNERS & typeof UNSEAL
  > & {
    readonly to: string | undefined;
    readonly checkFirst: true | undefined;
    readonly allowOtherOs: true | undefined;
    readonly resume: true | undefined;
  } & NewInstanceFlags,
): Promise<void> {
  const started = performance.now();
  const choice = defineChoiceOf(options);
  assertTargetFlags(options);
  const named = options.to === undefined ? undefined : await session.openSourceOf(options.to);
  await using _source = named?.source;
  const guard = named && (await describeTarget(session, named, options));
  if (named !== undefined && guard === undefined) return await importNew(session, [address, reference], named, options);
  const signers = await signersOf(session, options, address, 'read');
  await using source = choice && (await session.openInstances(choice.source));
  await using store = await session.openSealed(address, 'read', options);
  const target =
    guard === undefined ? await exportedTarget(session, store, reference, options) : describedTarget(session, guard, reference, options);
  const { instance } = target;
  const result = await importInstance({
    ...session.operation,
    ...consentOf(session, options),
    ...target,
    store,
    disks: options.disk?.only,
    createDisks: options.createDisks,
    parallel: await parallelOf(session, options, address, 'read'),
    checkFirst: options.checkFirst,
    resume: options.resume,
    allowOtherOs: options.allowOtherOs,
    define: source && { ...choice, source },
    ...signers,
    forceInUse: options.forceInUse,
  });
  const took = formatDuration(performance.now() - started);
  const done = `imported ${result.reference} into ${instance.name}: ${formatBytes(result.plainBytes)} in ${took}`;
  const { defined } = result;
  const known = defined === undefined ? [] : [`defined ${defined.name} in ${defined.source}${defined.started ? ', and started it' : ''}`];
  const compared = (result.resumed ?? []).map(describeResumed);
  const lines = result.dryRun ? describeDryRun(session, result.plan, result.checks) : [done, ...compared, ...known];
  session.output.result({ operation: 'import', ...result }, lines);
}

function describeResumed({ disk, comparedBytes, readBytes, writtenBytes }: ResumedDisk): string {
  return `disk ${disk}: compared ${formatBytes(comparedBytes)} (read ${formatBytes(readBytes)}), wrote ${formatBytes(writtenBytes)} that differed`;
}
