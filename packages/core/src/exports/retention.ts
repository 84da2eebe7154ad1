import { compareExportIds } from './export-id.ts';
import { describeFuture } from './future.ts';

/** What retention knows of one complete export. */
export interface RetainedExport {
  readonly id: string;
  /** When it began, by the clock of its host. */
  readonly started: Date;
  readonly tags: readonly string[];
  /** Why its start time cannot be true; such an export is kept, and counts for nothing else. */
  readonly oddTime?: string | undefined;
  /** Which disks it has, where it lacks some of its instance; absent: all. */
  readonly someDisks?: string | undefined;
}

/** How far back from the newest export everything is kept; calendar units, in UTC. */
export interface KeepWithin {
  readonly years: number;
  readonly months: number;
  readonly days: number;
  readonly hours: number;
}

/** Which exports of an instance are kept; as the options of the same names of restic. */
export interface RetentionPolicy {
  /** How many of the newest; `Infinity` for all, as for the others. */
  readonly last?: number | undefined;
  readonly hourly?: number | undefined;
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
  readonly within?: KeepWithin | undefined;
  /** Each a list of tags: exports that have all tags of one of the lists are kept. */
  readonly tags?: readonly (readonly string[])[] | undefined;
}

/** What is kept of an export, and why. */
export interface RetentionDecision<T extends RetainedExport = RetainedExport> {
  readonly export: T;
  /** Empty: it is to be removed. */
  readonly reasons: readonly string[];
}

/** Whether a policy says anything; one that does not keeps everything. */
export function isPolicy(policy: RetentionPolicy): boolean {
  return Object.values(policy).some((value) => value !== undefined && (!Array.isArray(value) || value.length > 0));
}

interface Rule {
  readonly reason: string;
  /** The period of a time; each period keeps its newest export. */
  readonly period: (started: Date, place: number) => string;
  left: number;
  latest?: string;
}

/**
 * Decides which exports of one instance are kept. It is given the complete ones alone: what is damaged or unfinished is never counted.
 * The newest always stays. Times are in UTC; weeks are those of ISO 8601.
 *
 * An export whose start time is in the future, or cannot be true, is kept, and takes no place of another. Those of the same disks are
 * decided among themselves: one of some disks takes no place of one with all.
 */
export function decideRetention<T extends RetainedExport>(
  exports: readonly T[],
  policy: RetentionPolicy,
  now: Date = new Date(),
): readonly RetentionDecision<T>[] {
  const alike = [...Map.groupBy(exports, ({ someDisks }) => someDisks).values()];
  return alike.flatMap((some) => decideAlike(some, policy, now)).toSorted((a, b) => newerFirst(a.export, b.export));
}

function newerFirst(a: RetainedExport, b: RetainedExport): number {
  return b.started.getTime() - a.started.getTime() || compareExportIds(b.id, a.id);
}

function decideAlike<T extends RetainedExport>(exports: readonly T[], policy: RetentionPolicy, now: Date): readonly RetentionDecision<T>[] {
  const newestFirst = exports.toSorted(newerFirst);
  if (!isPolicy(policy)) return newestFirst.map((each) => ({ export: each, reasons: ['no policy'] }));
  const oddTimeOf = ({ started, oddTime }: T): string | undefined =>
    oddTime ?? (describeFuture(started, now) && 'its start time is in the future');
  const dated = newestFirst.filter((each) => oddTimeOf(each) === undefined);
  const rules = rulesOf(policy);
  const edge = dated[0] && policy.within && before(dated[0].started, policy.within);
  const reasons = new Map(
    dated.map((each, place) => [each, reasonsFor(each, { place, isOldest: place === dated.length - 1, rules, edge, policy })]),
  );
  return newestFirst.map((each) => ({ export: each, reasons: reasons.get(each) ?? [oddTimeOf(each) ?? ''] }));
}

interface Situation {
  /** From 0, the newest. */
  readonly place: number;
  readonly isOldest: boolean;
  readonly rules: readonly Rule[];
  /** What is newer is within the time that is kept. */
  readonly edge: Date | undefined;
  readonly policy: RetentionPolicy;
}

function reasonsFor({ started, tags }: RetainedExport, { place, isOldest, rules, edge, policy }: Situation): string[] {
  const reasons = place === 0 ? ['newest'] : [];
  for (const list of policy.tags ?? []) if (list.every((tag) => tags.includes(tag))) reasons.push(`tag ${list.join(',')}`);
  for (const rule of rules) {
    const period = rule.period(started, place);
    // Where places are left over, the oldest export is kept, too: so history is as long as it can be.
    if (rule.left === 0 || (period === rule.latest && !isOldest)) continue;
    rule.latest = period;
    rule.left -= 1;
    reasons.push(rule.reason);
  }
  if (edge !== undefined && started > edge) reasons.push('within');
  return reasons;
}

function rulesOf({ last, hourly, daily, weekly, monthly, yearly }: RetentionPolicy): Rule[] {
  const to = (length: number) => (started: Date) => started.toISOString().slice(0, length);
  const rules = [
    { reason: 'last', left: last, period: (_started: Date, place: number) => String(place) },
    { reason: 'hourly', left: hourly, period: to('2026-11-23T08'.length) },
    { reason: 'daily', left: daily, period: to('2026-11-23'.length) },
    { reason: 'weekly', left: weekly, period: isoWeek },
    { reason: 'monthly', left: monthly, period: to('2026-11'.length) },
    { reason: 'yearly', left: yearly, period: to('2026'.length) },
  ];
  return rules.flatMap(({ left, ...rule }) => (left === undefined ? [] : [{ ...rule, left }]));
}

const DAY_MS = 24 * 60 * 60_000;

/** The week of ISO 8601: that of its Thursday. */
function isoWeek(started: Date): string {
  const day = (started.getUTCDay() + 6) % 7;
  const thursday = new Date(started.getTime() + (3 - day) * DAY_MS);
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  return `${thursday.getUTCFullYear()} week ${Math.floor((thursday.getTime() - first) / DAY_MS / 7) + 1}`;
}

function before(time: Date, { years, months, days, hours }: KeepWithin): Date {
  const edge = new Date(time);
  edge.setUTCFullYear(edge.getUTCFullYear() - years, edge.getUTCMonth() - months, edge.getUTCDate() - days);
  edge.setUTCHours(edge.getUTCHours() - hours);
  return edge;
}
