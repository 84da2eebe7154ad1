import type { Policy } from '@gantry/config';
import type { Occurrence } from '@gantry/policies';
import { endedOccurrences, occurrenceAt } from '@gantry/policies';
import type { PlannedJob, Subject } from './job.ts';
import { jobId, priorityOf, startIn, subjectKey } from './job.ts';

/** How much of a window the beginnings of its exports fill. */
const SPREAD = 0.5;
/** How many windows that passed without a plan are reported, at most: a planner that was down for longer has been noticed. */
const MAX_MISSED_WINDOWS = 31;

/** An instance that a policy selects, and where its disks are. */
export interface PlacedInstance extends Subject {
  readonly node: string;
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

/** For how long an agent may be away, after a window, until its export counts as missed, ms. */
const SILENCE_MS = 3_600_000;

/** An export that was planned before, and what became of it. */
export interface KnownJob extends Subject {
  readonly id: string;
  readonly node: string;
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
export interface Finding extends Subject {
  readonly kind: 'missed' | 'overrun';
  /** Of the export that there would have been. */
  readonly id: string;
  readonly node: string;
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
  /** Of {@link MAX_MISSED_WINDOWS} days. */
  readonly known: readonly KnownJob[];
  readonly now: Date;
}

/**
 * Decides which exports there are to be: a pure function, so that it can run every minute, and on two hosts at once. What it says is done
 * before the next call changes nothing then.
 */
export function planFleet({ policies, instances, known, now }: PlanInput): FleetPlan {
  const ofSubject = Map.groupBy(known, subjectKey);
  const windows = new Map(policies.flatMap(({ name, window }) => (window === undefined ? [] : [[name, window] as const])));
  const parts = instances.flatMap((instance) => {
    const window = windows.get(instance.policy);
    const own = ofSubject.get(subjectKey(instance)) ?? [];
    return window === undefined ? [] : [planInstance(instance, window, own, now)];
  });
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

function planInstance(instance: PlacedInstance, window: Window, known: readonly KnownJob[], now: Date): Part {
  const current = occurrenceAt(window, now);
  const late = known.filter(({ state, end, redriven }) => state === 'waiting' && end <= now && redriven !== true);
  const passed = passedWindows(instance, window, known, now);
  const open = current === undefined ? NOTHING : planWindow(instance, current, known, now);
  return {
    add: open.add,
    drop: [...late.filter(({ lastAttempt }) => lastAttempt === undefined), ...open.drop],
    // The agent of one that is silent may still run it, and say how it ended.
    fail: late.filter(({ lastAttempt }) => lastAttempt === 'failed'),
    findings: [...passed, ...open.findings],
  };
}

const NOTHING: Part = { add: [], drop: [], fail: [], findings: [] };

/** The windows that passed, since the first plan for the instance, without a turn for it. */
function passedWindows(instance: PlacedInstance, window: Window, known: readonly KnownJob[], now: Date): readonly Finding[] {
  // An instance that is new to the fleet has missed nothing.
  const first = Math.min(...known.map(({ begin }) => begin.getTime()));
  const ended = endedOccurrences(window, now, MAX_MISSED_WINDOWS).filter(({ begin }) => begin.getTime() >= first);
  return ended.flatMap((occurrence) => {
    const id = jobId(instance, occurrence.begin);
    const own = known.filter((each) => each.id === id || overlaps(each, occurrence) || ranInto(each, occurrence, now));
    const reason = reasonOfMiss(own, now);
    return reason === undefined ? [] : [findingOf('missed', instance, occurrence, reason)];
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
function planWindow(instance: PlacedInstance, window: Occurrence, known: readonly KnownJob[], now: Date): Part {
  const { policy, instance: name, node, stores, lastGood } = instance;
  const id = jobId(instance, window.begin);
  const own = known.filter((each) => each.id === id);
  const isHere = (each: KnownJob): boolean => each.node === node;
  const drop = own.filter((each) => each.state === 'waiting' && !isHere(each));
  const hasIt = own.some((each) => (each.state === 'waiting' ? isHere(each) : isSettled(each, node)));
  if (hasIt) return { ...NOTHING, drop };
  // One on a node that the instance has left holds up nothing: that node may be down, or its export be of no use any more.
  const earlier = known.find((each) => each.state === 'running' && each.id !== id && isHere(each));
  if (earlier !== undefined) {
    const reason = `the export of the window that began at ${earlier.begin.toISOString()} still runs on ${earlier.node}`;
    return { ...NOTHING, drop, findings: [findingOf('overrun', instance, window, reason)] };
  }
  const startAfter = startIn(window, instance, SPREAD);
  const job = { id, policy, instance: name, node, window, stores, startAfter, priority: priorityOf(lastGood, now) };
  return { ...NOTHING, add: [job], drop };
}

/** Whether a window needs no other export: one that an agent has, or that has ended. */
function isSettled({ state, node }: KnownJob, placedOn: string): boolean {
  return state === 'elsewhere' ? node === placedOn : state !== 'lost';
}

function findingOf(kind: Finding['kind'], { policy, instance, node }: PlacedInstance, window: Occurrence, reason: string): Finding {
  return { kind, id: jobId({ policy, instance }, window.begin), policy, instance, node, window, reason };
}
