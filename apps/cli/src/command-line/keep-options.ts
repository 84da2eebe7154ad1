import { parseKeepCount, parseWithin as withinOf } from '@gantry/config/quantities';
import type { KeepWithin, RetentionPolicy } from '@gantry/core';
import { InvalidArgumentError } from 'commander';
import type { OptionValues } from './command.ts';
import type { OptionSpec } from './options.ts';

type Count = OptionSpec<number | undefined>;

function count(flags: string, description: string): Count {
  return { flags, description, parse: parseCount };
}

function parseCount(value: string): number {
  const parsed = parseKeepCount(value);
  if (parsed !== undefined) return parsed;
  throw new InvalidArgumentError('It must be a whole number, 1 or more, or: unlimited.');
}

function parseWithin(value: string): KeepWithin {
  const within = withinOf(value);
  if (within !== undefined) return within;
  throw new InvalidArgumentError('It must be a duration such as 1y6m14d12h: years, months, days, hours.');
}

function parseTags(value: string, previous: readonly (readonly string[])[] | undefined): readonly (readonly string[])[] {
  const tags = value.split(',');
  if (tags.some((tag) => tag === '')) throw new InvalidArgumentError('It must be a tag, or several with commas between them.');
  return [...(previous ?? []), tags];
}

/** Which exports are kept: the options of restic, with the same meaning. */
export const KEEP: {
  readonly keepLast: Count;
  readonly keepHourly: Count;
  readonly keepDaily: Count;
  readonly keepWeekly: Count;
  readonly keepMonthly: Count;
  readonly keepYearly: Count;
  readonly keepWithin: OptionSpec<KeepWithin | undefined>;
  readonly keepTag: OptionSpec<readonly (readonly string[])[] | undefined>;
} = {
  keepLast: count('--keep-last <n>', 'keep the newest n exports'),
  keepHourly: count('--keep-hourly <n>', 'keep the newest export of each of the last n hours that have one'),
  keepDaily: count('--keep-daily <n>', 'keep the newest export of each of the last n days that have one'),
  keepWeekly: count('--keep-weekly <n>', 'keep the newest export of each of the last n weeks that have one'),
  keepMonthly: count('--keep-monthly <n>', 'keep the newest export of each of the last n months that have one'),
  keepYearly: count('--keep-yearly <n>', 'keep the newest export of each of the last n years that have one'),
  keepWithin: {
    flags: '--keep-within <duration>',
    description: 'keep all exports that are not older than this, seen from the newest, such as 14d or 1y6m',
    parse: parseWithin,
  },
  keepTag: { flags: '--keep-tag <tags>', description: 'keep exports with all these tags, such as a or a,b; may repeat', parse: parseTags },
};

export function policyOf(values: OptionValues<typeof KEEP>): RetentionPolicy {
  const { keepLast, keepHourly, keepDaily, keepWeekly, keepMonthly, keepYearly, keepWithin, keepTag } = values;
  return {
    last: keepLast,
    hourly: keepHourly,
    daily: keepDaily,
    weekly: keepWeekly,
    monthly: keepMonthly,
    yearly: keepYearly,
    within: keepWithin,
    tags: keepTag,
  };
}
