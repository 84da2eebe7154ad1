import type { Policy } from '@gantry/config';
import type { Occurrence } from '@gantry/policies';
import { aftermaths, endedOccurrences, occurrenceAt } from '@gantry/policies';
import type { PlannedJob, Subject } from './job.ts';
import { jobId, priorityOf, startIn, STORE_PRIORITY, subjectKey } from './job.ts';

/** How much of a window the beginnings of its exports fill. */
const SPREAD = 0.5;
/** How many windows that passed without a plan are reported, at most: a planner that was down for longer has been noticed. */
const MAX_MISSED_WINDOWS = 31;

/** A subject, and the node that works on it. */
export interface PlacedSubject extends Subject {
  readonly node: string;
}

/** An instance that a policy selects, and where its disks are. */
export interface PlacedInstance extends PlacedSubject {
  /** Names of the stores of its policy. */
  readonly stores?: readonly string[] | undefined;
  /** When its newest good export was made, as far as the fleet knows. */
  readonly lastGood?: Date | undefined;
}

/**
 * `waiting`: for its time, its turn or its next attempt. `running`: an agent has it. `left`: the window ended before its turn.
 * `elsewhere`: its node found that its disks are on another one. `lost`: it was planned, and is not in the queue.
 */
export type KnownState = 'waiting' | 'running' | 'done' | 'failed' | 'cancelled' | 'left' | 'elsewhere' | 'lost';

/** For how long work at stores waits for exports of the window that still run, ms; at most half of its time. */
const EXPORTS_RUN_MS = 6 * 3_600_000;
/** For how long an agent may be away, after a window, until its export counts as missed, ms. */
const SILENCE_MS = 3_600_000;

/** An export that was planned before, and what became of it. */
export interface KnownJob extends PlacedSubject {
  readonly id: string;
  /** Of its window. */
  readonly begin: Date;
  readonly end: Date;
  readonly state: KnownState;
  /** Of one that waits and was handed out before: how that ended. `silent`: its agent gave no sign, and may still run it. */
  readonly lastAttempt?: 'failed' | 'silent' | undefined;
  /** A user has it tried again: it is not bound to its window any more. */
  readonly redriven?: boolean | undefined;
  readonly startedOn?: Date | undefined;
  readonly endedOn?: Date | undefined;
}

/**
 * What an administrator should know of a window. `missed`: it passed without a turn for the instance. `overrun`: the export of an earlier
 * window still runs, so there is no other one.
 */
export interface Finding extends PlacedSubject {
  readonly kind: 'missed' | 'overrun';
  /** Of the export that there would have been. */
  readonly id: string;
  readonly window: Occurrence;
  readonly reason: string;
}

/** What is to be changed. */
export interface FleetPlan {
  readonly add: readonly PlannedJob[];
  /** Those that wait where they cannot run any more: their window has ended, or the instance has moved and is added on its node. */
  readonly drop: readonly KnownJob[];
  /** Those that wait for another attempt, and whose window has ended: they have failed. */
  readonly fail: readonly KnownJob[];
  readonly findings: readonly Finding[];
  /** Policies that have no window: nothing says when they run. */
  readonly withoutWindow: readonly string[];
}

export interface PlanInput {
  readonly policies: readonly Pick<Policy, 'name' | 'window'>[];
  /** Each subject once. */
  readonly instances: readonly PlacedInstance[];
  /** What follows exports at stores; each subject once. */
  readonly stores?: readonly PlacedSubject[] | undefined;
  /** Of {@link MAX_MISSED_WINDOWS} days. */
  readonly known: readonly KnownJob[];
  readonly now: Date;
}

/**
 * Decides which exports there are to be: a pure function, so that it can run every minute, and on two hosts at once. What it says is done
 * before the next call changes nothing then.
 */
export function planFleet({ policies, instances, stores = [], known, now }: PlanInput): FleetPlan {
  const ofSubject = Map.groupBy(known, subjectKey);
  const windows = new Map(policies.flatMap(({ name, window }) => (window === undefined ? [] : [[name, window] as const])));
  const planAll = <T extends PlacedSubject>(subjects: readonly T[], turnsOf: (subject: T, window: Window) => Turns): readonly Part[] =>
    subjects.flatMap((subject) => {
      const window = windows.get(subject.policy);
      const own = ofSubject.get(subjectKey(subject)) ?? [];
      return window === undefined ? [] : [planSubject(subject, turnsOf(subject, window), own, now)];
    });
  const parts = [
    ...planAll(instances, (instance, window) => turnsOfExports(instance, window, now)),
    ...planAll(stores, (store, window) => turnsAtStore(store, window, known, now)),
  ];
  return {
    add: parts.flatMap(({ add }) => add),
    drop: parts.flatMap(({ drop }) => drop),
    fail: parts.flatMap(({ fail }) => fail),
    findings: parts.flatMap(({ findings }) => findings),
    withoutWindow: policies.filter(({ window }) => window === undefined).map(({ name }) => name),
  };
}

type Window = NonNullable<Policy['window']>;
type Part = Omit<FleetPlan, 'withoutWindow'>;

/** When something has its turns. */
interface Turns {
  /** When it may begin now; absent: not now. */
  readonly current?: Occurrence | undefined;
  /** Its earlier turns, newest first. */
  readonly passed: readonly Occurrence[];
  /** Of the job for the current one. */
  readonly fields: Pick<PlannedJob, 'stores' | 'startAfter' | 'priority' | 'since'>;
}

function turnsOfExports(instance: PlacedInstance, window: Window, now: Date): Turns {
  const { stores, lastGood } = instance;
  const current = occurrenceAt(window, now);
  const startAfter = current === undefined ? now : startIn(current, instance, SPREAD);
  const passed = endedOccurrences(window, now, MAX_MISSED_WINDOWS);
  return { current, passed, fields: { stores, startAfter, priority: priorityOf(lastGood, now) } };
}

/** What follows the exports of a window begins when they are done, at the end of the window, or when waiting for them takes too long. */
function turnsAtStore({ policy }: PlacedSubject, window: Window, known: readonly KnownJob[], now: Date): Turns {
  const all = aftermaths(window, now, MAX_MISSED_WINDOWS);
  const current = all.find(({ end }) => now < end);
  const passed = all.filter((each) => each !== current);
  if (current === undefined) return { passed, fields: { startAfter: now, priority: STORE_PRIORITY } };
  const { of, begin, end } = current;
  // They may have been planned for a window that started at another time.
  const isOfWindow = (job: KnownJob): boolean => job.policy === policy && job.work === undefined && overlaps(job, of);
  const waitMs = Math.min(EXPORTS_RUN_MS, (end.getTime() - begin.getTime()) / 2);
  const isWaitedFor = now.getTime() < begin.getTime() + waitMs && known.some((job) => job.state === 'running' && isOfWindow(job));
  const fields = { startAfter: begin, priority: STORE_PRIORITY, since: of.begin };
  return { current: isWaitedFor ? undefined : current, passed, fields };
}

function planSubject(subject: PlacedSubject, { current, passed, fields }: Turns, known: readonly KnownJob[], now: Date): Part {
  const late = known.filter(({ state, end, redriven }) => state === 'waiting' && end <= now && redriven !== true);
  const missed = passedWindows(subject, passed, known, now);
  const open = current === undefined ? NOTHING : planWindow(subject, current, fields, known);
  return {
    add: open.add,
    drop: [...late.filter(({ lastAttempt }) => lastAttempt === undefined), ...open.drop],
    // The agent of one that is silent may still run it, and say how it ended.
    fail: late.filter(({ lastAttempt }) => lastAttempt === 'failed'),
    findings: [...missed, ...open.findings],
  };
}

const NOTHING: Part = { add: [], drop: [], fail: [], findings: [] };

/** The windows that passed, since the first plan for the subject, without a turn for it. */
function passedWindows(subject: PlacedSubject, windows: readonly Occurrence[], known: readonly KnownJob[], now: Date): readonly Finding[] {
  // What is new to the fleet has missed nothing.
  const first = Math.min(...known.map(({ begin }) => begin.getTime()));
  const ended = windows.filter(({ begin }) => begin.getTime() >= first);
  return ended.flatMap((occurrence) => {
    const id = jobId(subject, occurrence.begin);
    const own = known.filter((each) => each.id === id || overlaps(each, occurrence) || ranInto(each, occurrence, now));
    const reason = reasonOfMiss(own, now);
    return reason === undefined ? [] : [findingOf('missed', subject, occurrence, reason)];
  });
}

/** Whether it was planned for a part of this window: the policy's window may have been another one then. */
function overlaps({ begin, end }: KnownJob, window: Occurrence): boolean {
  return begin < window.end && window.begin < end;
}

/** Whether it is an export of an earlier window that still ran in this one. */
function ranInto({ startedOn, endedOn, state }: KnownJob, window: Occurrence, now: Date): boolean {
  if (startedOn === undefined || startedOn > window.begin || !TURNS.has(state)) return false;
  return (state === 'running' ? now : (endedOn ?? startedOn)) > window.begin;
}

const TURNS: ReadonlySet<KnownState> = new Set(['running', 'done', 'failed', 'cancelled']);

function hadTurn({ state, redriven, lastAttempt, end }: KnownJob, now: Date): boolean {
  if (lastAttempt === 'silent' && redriven !== true) return now.getTime() < end.getTime() + SILENCE_MS;
  return TURNS.has(state) || redriven === true || lastAttempt === 'failed';
}

function reasonOfMiss(known: readonly KnownJob[], now: Date): string | undefined {
  if (known.some((each) => hadTurn(each, now))) return undefined;
  const states = new Set(known.map(({ state }) => state));
  if (known.some(({ lastAttempt }) => lastAttempt === 'silent')) return 'it began, and its agent has given no sign since';
  if (states.has('waiting') || states.has('left')) return 'its turn did not come before the window ended';
  if (states.has('elsewhere')) return 'its disks were on another node than its source said';
  return states.has('lost') ? 'it was lost from the queue' : NOT_PLANNED;
}

const NOT_PLANNED = 'it was not planned in the window: no planner ran, or its source could not be asked';

/** What a window that is open needs. */
function planWindow(subject: PlacedSubject, window: Occurrence, fields: Turns['fields'], known: readonly KnownJob[]): Part {
  const { policy, instance, work, node } = subject;
  const id = jobId(subject, window.begin);
  const own = known.filter((each) => each.id === id);
  const isHere = (each: KnownJob): boolean => each.node === node;
  const drop = own.filter((each) => each.state === 'waiting' && !isHere(each));
  const hasIt = own.some((each) => (each.state === 'waiting' ? isHere(each) : isSettled(each, node)));
  if (hasIt) return { ...NOTHING, drop };
  // One on a node that the instance has left holds up nothing: that node may be down, or its export be of no use any more.
  const earlier = known.find((each) => each.state === 'running' && each.id !== id && isHere(each));
  if (earlier !== undefined) {
    const began = earlier.begin.toISOString();
    const what = work === undefined ? `the export of the window that began at ${began}` : `what followed the window that ended at ${began}`;
    const reason = `${what} still runs on ${earlier.node}`;
    return { ...NOTHING, drop, findings: [findingOf('overrun', subject, window, reason)] };
  }
  const { begin, end } = window;
  return { ...NOTHING, add: [{ id, policy, instance, work, node, window: { begin, end }, ...fields }], drop };
}

/** Whether a window needs no other export: one that an agent has, or that has ended. */
function isSettled({ state, node }: KnownJob, placedOn: string): boolean {
  return state === 'elsewhere' ? node === placedOn : state !== 'lost';
}

function findingOf(
  kind: Finding['kind'],
  { policy, instance, work, node }: PlacedSubject,
  { begin, end }: Occurrence,
  reason: string,
): Finding {
  return { kind, id: jobId({ policy, instance, work }, begin), policy, instance, work, node, window: { begin, end }, reason };
}
