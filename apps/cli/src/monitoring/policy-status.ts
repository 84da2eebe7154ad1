import type { Policy } from '@gantry/config';
import type { LastVerification, ListedExport, RefusedExport } from '@gantry/core';
import type { PolicyRun } from '@gantry/policies';

/**
 * `late`: the last good export is older than the policy promises. `missing`: there is none. `unknown`: the store, or the source of the
 * instance, could not be asked.
 */
export type InstanceState = 'good' | 'late' | 'missing' | 'unknown';

/** The last export that is complete, with all disks, of which no verification has found damage, whose time can be true, and whose signature is not refused. */
export interface LastGood {
  readonly reference: string;
  readonly started: Date;
  /** Of the start of the export, ms. */
  readonly ageMs: number;
  readonly plainBytes?: number | undefined;
  readonly storedBytes?: number | undefined;
  readonly verified?: LastVerification | undefined;
}

/** An instance of a policy in one of its stores. */
export interface InstanceStatus {
  readonly instance: string;
  /** As the policy names it. */
  readonly store: string;
  /** `copies`: the store gets copies. */
  readonly role: 'exports' | 'copies';
  readonly state: InstanceState;
  readonly good?: LastGood | undefined;
  /** Later exports that are damaged, `INSTANCE@EXPORT-ID`. */
  readonly damaged: readonly string[];
  /** Later exports whose signature is refused, by what the policy or its store says of signers. */
  readonly refused: readonly RefusedExport[];
  /** Why the state is not known. */
  readonly reason?: string | undefined;
}

export interface PolicyStatus {
  readonly policy: string;
  readonly maxAgeMs?: number | undefined;
  readonly instances: readonly InstanceStatus[];
  /** Why not all instances are known: what sources failed with. */
  readonly problems: readonly string[];
  /** When systemd's timer starts the policy next. */
  readonly nextRun?: Date | undefined;
  /** The last run on this machine. */
  /** The records of its runs cannot be read. */
  readonly lastRunUnknown?: true | undefined;
  readonly lastRun?: Pick<PolicyRun, 'started' | 'ended' | 'outcome'> | undefined;
}

/** A store of a policy, as far as the policy names it. */
export interface StoreOfPolicy {
  readonly named: string;
  readonly role: InstanceStatus['role'];
}

/** The stores of a policy, each once. */
export function storesOf({ stores, copies }: Policy): readonly StoreOfPolicy[] {
  const exports = stores.map((named) => ({ named, role: 'exports' as const }));
  const others = copies.filter(({ to }) => !stores.includes(to)).map(({ to }) => ({ named: to, role: 'copies' as const }));
  return [...exports, ...others];
}

/** What a store answered: its exports, and those of them that are refused; or why it could not be asked. */
export type StoreAnswer =
  | { readonly exports: readonly ListedExport[]; readonly refused: readonly RefusedExport[] }
  | { readonly reason: string };

/** What is to be said of an instance in a store. */
export function instanceStatus(
  instance: string,
  { named: store, role }: StoreOfPolicy,
  answer: StoreAnswer,
  { maxAgeMs, now }: { readonly maxAgeMs?: number | undefined; readonly now: Date },
): InstanceStatus {
  const base = { instance, store, role };
  if ('reason' in answer) return { ...base, state: 'unknown', damaged: [], refused: [], reason: answer.reason };
  const own = answer.exports.filter((each) => each.instance === instance);
  const refusedOnes = new Set(answer.refused.map(({ reference }) => reference));
  const good = lastGood(
    own.filter(({ reference }) => !refusedOnes.has(reference)),
    now,
  );
  const damaged = own
    .filter(({ state, started }) => state === 'damaged' && (good === undefined || started === undefined || started > good.started))
    .map(({ reference }) => reference);
  const refused = answer.refused.filter(({ reference }) => own.some((each) => each.reference === reference));
  return { ...base, state: stateOf(good, maxAgeMs), good, damaged, refused };
}

function stateOf(good: LastGood | undefined, maxAgeMs: number | undefined): InstanceState {
  if (good === undefined) return 'missing';
  return maxAgeMs !== undefined && good.ageMs > maxAgeMs ? 'late' : 'good';
}

function lastGood(exports: readonly ListedExport[], now: Date): LastGood | undefined {
  const [newest] = newestFirst(exports, now);
  if (newest === undefined) return undefined;
  const { reference, started, plainBytes, storedBytes, verified } = newest;
  return { reference, started, ageMs: Math.max(0, now.getTime() - started.getTime()), plainBytes, storedBytes, verified };
}

/** Those that may be the last good one. One from the future would never grow old: the clock that made it was wrong. */
export function newestFirst(exports: readonly ListedExport[], now: Date): readonly (ListedExport & { readonly started: Date })[] {
  const dated = exports.flatMap(({ started, ...each }) =>
    each.state !== 'complete' || each.missingDisks !== undefined || started === undefined || (each.warning !== undefined && started > now)
      ? []
      : [{ ...each, started }],
  );
  return dated.toSorted((a, b) => b.started.getTime() - a.started.getTime());
}
