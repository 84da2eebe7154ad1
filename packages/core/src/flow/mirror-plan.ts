import { compareExportIds, parseExportId } from '../exports/export-id.ts';
import { isInFuture } from '../exports/future.ts';
import { matchesName } from '../instances/instance-filter.ts';

/** The exports of one instance in two stores, by their ids. */
export interface MirroredInstance {
  readonly instance: string;
  /** Complete at the source, in any order. */
  readonly source: readonly string[];
  /** Complete at the target. */
  readonly target: readonly string[];
  /** Removed at the target, where dumps of them are still in use. */
  readonly removed: readonly string[];
}

export interface MirrorChoice {
  /** Names of instances, in which `*` stands for any characters; all instances if there is none. */
  readonly patterns: readonly string[];
  /** Only that many exports of each instance, the newest ones; those from the future besides. */
  readonly newest?: number | undefined;
  /** Also exports that are older than the newest one at the target: what was removed there comes back. */
  readonly withOlder: boolean;
}

/** What a mirror does with one instance. */
export interface MirrorPlan {
  readonly instance: string;
  /** Ids to copy, the oldest first: each finds frames of those before it at the target. */
  readonly copy: readonly string[];
  /** Ids of these that the target has. */
  readonly present: readonly string[];
  /** All ids that the target has, also those that the source lacks. */
  readonly there: readonly string[];
  /** Ids that the target lacks, and that are older than its newest one: it had them once, or chose not to. */
  readonly older: readonly string[];
  /** Ids of either side with a time in the future: no other export is older than these. */
  readonly future: readonly string[];
}

/** Whether an instance is one of those that are mirrored. @param patterns names, in which `*` stands for any characters; all, if there is none */
export function matchesAny(patterns: readonly string[], instance: string): boolean {
  return patterns.length === 0 || patterns.some((pattern) => matchesName(pattern, instance));
}

/**
 * Which exports a mirror copies. Without `withOlder`, what the target's own retention removed stays removed. One export from the future,
 * made by a host whose clock was wrong, must not keep all later ones from being copied.
 */
export function planMirror(
  instances: readonly MirroredInstance[],
  { patterns, newest, withOlder }: MirrorChoice,
  now: Date = new Date(),
): readonly MirrorPlan[] {
  const isOfFuture = (id: string): boolean => isInFuture(parseExportId(id)?.started ?? now, now);
  return instances
    .filter(({ instance }) => matchesAny(patterns, instance))
    .map(({ instance, source, target, removed }) => {
      const sorted = source.toSorted(compareExportIds);
      const past = sorted.filter((id) => !isOfFuture(id));
      const passedOver = new Set(newest === undefined ? [] : past.slice(0, Math.max(0, past.length - newest)));
      const wanted = sorted.filter((id) => !passedOver.has(id));
      const has = new Set(target);
      const gone = new Set(removed);
      const last = [...target, ...removed]
        .filter((id) => !isOfFuture(id))
        .toSorted(compareExportIds)
        .at(-1);
      const isOlder = (id: string): boolean => gone.has(id) || (!withOlder && last !== undefined && compareExportIds(id, last) < 0);
      const missing = wanted.filter((id) => !has.has(id));
      return {
        instance,
        copy: missing.filter((id) => !isOlder(id)),
        present: wanted.filter((id) => has.has(id)),
        there: target,
        older: missing.filter(isOlder),
        future: [...new Set([...source, ...target])].filter(isOfFuture),
      };
    })
    .toSorted((a, b) => (a.instance < b.instance ? -1 : 1));
}
