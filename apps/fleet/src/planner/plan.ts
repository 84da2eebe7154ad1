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

/** An export that was planned before, and what became of it. */
export interface KnownJob extends Subject {
  readonly id: string;
  readonly node: string;
  /** Of its window. */
  readonly begin: Date;
  readonly end: Date;
  readonly state: KnownState;
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
    findings: parts.flatMap(({ findings }) => findings),
    withoutWindow: policies.filter(({ window }) => window === undefined).map(({ name }) => name),
  };
}

type Window = NonNullable<Policy['window']>;
type Part = Omit<FleetPlan, 'withoutWindow'>;

function planInstance(instance: PlacedInstance, window: Window, known: readonly KnownJob[], now: Date): Part {
  const current = occurrenceAt(window, now);
  const late = known.filter(({ state, end }) => state === 'waiting' && end <= now);
  const passed = passedWindows(instance, window, known, now);
  const now_ = current === undefined ? NOTHING : planWindow(instance, current, known, now);
  return { add: now_.add, drop: [...late, ...now_.drop], findings: [...passed, ...now_.findings] };
}

const NOTHING: Part = { add: [], drop: [], findings: [] };

/** The windows that passed, since the first plan for the instance, without a turn for it. */
function passedWindows(instance: PlacedInstance, window: Window, known: readonly KnownJob[], now: Date): readonly Finding[] {
  // An instance that is new to the fleet has missed nothing.
  const first = Math.min(...known.map(({ begin }) => begin.getTime()));
  const ended = endedOccurrences(window, now, MAX_MISSED_WINDOWS).filter(({ begin }) => begin.getTime() >= first);
  return ended.flatMap((occurrence) => {
    const id = jobId(instance, occurrence.begin);
    const reason = reasonOfMiss(known.filter((each) => each.id === id));
    return reason === undefined ? [] : [findingOf('missed', instance, occurrence, reason)];
  });
}

function reasonOfMiss(known: readonly KnownJob[]): string | undefined {
  const states = new Set(known.map(({ state }) => state));
  const hadTurn = states.has('running') || states.has('done') || states.has('failed') || states.has('cancelled');
  if (hadTurn) return undefined;
  if (states.has('waiting') || states.has('left')) return 'its turn did not come before the window ended';
  if (states.has('elsewhere')) return 'its disks were on another node than its source said';
  return states.has('lost') ? 'it was lost from the queue' : 'no planner ran in the window';
}

/** What a window that is open needs. */
function planWindow(instance: PlacedInstance, window: Occurrence, known: readonly KnownJob[], now: Date): Part {
  const { policy, instance: name, node, stores, lastGood } = instance;
  const id = jobId(instance, window.begin);
  const own = known.filter((each) => each.id === id);
  const isHere = (each: KnownJob): boolean => each.node === node;
  const drop = own.filter((each) => each.state === 'waiting' && !isHere(each));
  const hasIt = own.some((each) => (each.state === 'waiting' ? isHere(each) : isSettled(each, node)));
  if (hasIt) return { ...NOTHING, drop };
  const earlier = known.find((each) => each.state === 'running' && each.id !== id);
  if (earlier !== undefined) {
    const reason = `the export of the window that began at ${earlier.begin.toISOString()} still runs on ${earlier.node}`;
    return { add: [], drop, findings: [findingOf('overrun', instance, window, reason)] };
  }
  const startAfter = startIn(window, instance, SPREAD);
  const job = { id, policy, instance: name, node, window, stores, startAfter, priority: priorityOf(lastGood, now) };
  return { add: [job], drop, findings: [] };
}

/** Whether a window needs no other export: one that an agent has, or that has ended. */
function isSettled({ state, node }: KnownJob, placedOn: string): boolean {
  return state === 'elsewhere' ? node === placedOn : state !== 'lost';
}

function findingOf(kind: Finding['kind'], { policy, instance, node }: PlacedInstance, window: Occurrence, reason: string): Finding {
  return { kind, id: jobId({ policy, instance }, window.begin), policy, instance, node, window, reason };
}
