import type { JobData } from '../queue/form.ts';
import type { RestoreOrder } from '../queue/restore-order.ts';

/** Clocks of planner and node may differ by as much. */
const CLOCK_DIFFERENCE_SECONDS = 60;

/** How `gantry` is called for a job. */
export function argumentsOf(data: JobData, now: Date): readonly string[] {
  const { policy, instance, work, since, restore } = data;
  if (restore !== undefined) return restoreArguments(restore);
  if (work === undefined) return exportArguments(data, now);
  const newer = since === undefined ? [] : ['--skip-newer', `${secondsSince(since, now) + CLOCK_DIFFERENCE_SECONDS}s`];
  return ['run', policy, '--store-only', instance, ...newer, '--quiet', '--json'];
}

/**
 * What a user asked for is an export that is newer than that, also outside of the window: an earlier attempt may have made it. Never one
 * that began before, so the age is rounded down: one of the second in which it was asked for is made again.
 */
function exportArguments({ policy, instance, asked }: JobData, now: Date): readonly string[] {
  const call = ['run', policy, '--instance', instance, '--exports-only'];
  if (asked === undefined) return [...call, '--quiet', '--json'];
  return [...call, '--ignore-window', '--skip-newer', `${secondsSince(asked, now)}s`, '--quiet', '--json'];
}

/** Without consent, `gantry import` overwrites nothing; disks in use it never does. */
function restoreArguments(order: RestoreOrder): readonly string[] {
  const { to, createDisks, checkFirst, resume, dryRun, yes } = order;
  return [
    'import',
    order.store,
    order.export,
    ...(to === undefined ? [] : [`--to=${to}`]),
    ...(createDisks === true ? ['--create-disks'] : []),
    ...(checkFirst === true ? ['--check-first'] : []),
    ...(resume === true ? ['--resume'] : []),
    ...(dryRun === true ? ['--dry-run'] : []),
    ...(yes === true ? ['--yes'] : []),
    '--quiet',
    '--json',
  ];
}

function secondsSince(time: string, now: Date): number {
  return Math.max(1, Math.floor((now.getTime() - Date.parse(time)) / 1000));
}
