import type { Configuration, OpenContext, Policy } from '@gantry/config';
import { isName } from '@gantry/config';
import { asFirstError, GantryError } from '@gantry/core';
import type { RunProblem } from '@gantry/policies';
import { DAY_MS } from '../days.ts';
import type { FleetQueue } from '../queue/fleet-queue.ts';
import type { FleetJob } from '../queue/records.ts';
import { KEEP_DAYS } from '../queue/records.ts';
import type { TurnProblem } from '../queue/turns.ts';
import type { Subject } from './job.ts';
import { subjectKey } from './job.ts';
import { nodeOf, whyNoNode } from './node-of.ts';
import type { FoundInstance, Inventory } from './placement.ts';
import { Placement } from './placement.ts';
import type { Finding, FleetPlan, KnownJob, PlacedInstance, PlacedSubject } from './plan.ts';
import { planFleet } from './plan.ts';
import type { FoundStoreWork } from './store-work.ts';
import { storeWorkOf } from './store-work.ts';

export interface PlannerOptions {
  readonly queue: FleetQueue;
  /** Read again for each plan. */
  readonly configuration: () => Promise<Configuration>;
  readonly context: OpenContext;
  /** The node on which this runs, to which instances belong that are described where they are. */
  readonly here: string;
  readonly note: (message: string) => void;
}

/** What a turn did. */
export interface PlanResult {
  readonly added: number;
  readonly dropped: number;
  /** New ones. */
  readonly findings: number;
  /** How many sources, instances and hosts it could not plan, each of which it has said. */
  readonly problems: number;
}

/** Later turns look at what the last windows can have: a month of 20,000 instances is more than is to be read each minute. */
const RECENT_DAYS = 3;

/** Puts into the queue what the policies want now, again and again; two at once do the same. */
export class Planner {
  readonly #options: PlannerOptions;
  readonly #placement: Placement;
  /** What was said: each is said once. */
  #said = new Set<string>();
  /** Findings that are recorded. */
  readonly #noted = new Set<string>();
  /** When the newest good export of each subject ended; empty before the first turn, which reads all that is kept. */
  readonly #lastGood = new Map<string, Date>();
  /** When the last turn ended well; before that one, it has read all that is kept. */
  #lastTurn: Date | undefined;
  /** What policies select, as it is noted in the queue; absent before the first turn. */
  #selected: ReadonlyMap<string, Subject> | undefined;
  /**
   * Messages of the problems of the last turn, and since when what each is about may not have been looked at: one that comes as another one
   * goes may be the same outage, of which another thing is said.
   */
  #problems: ReadonlyMap<string, Date> = new Map();

  constructor(options: PlannerOptions) {
    this.#options = options;
    this.#placement = new Placement(options.context, options.here);
  }

  /** @throws GantryError `CONFIGURATION_*`, `QUEUE_*`; the signal's reason */
  async turn(now: Date = new Date()): Promise<PlanResult> {
    const { queue, here, context } = this.#options;
    try {
      return await this.#turn(now);
    } catch (error) {
      const first = asFirstError(error);
      // Otherwise it is seen by the age of the last plan alone.
      const failure = first instanceof GantryError ? `${first.message} [${first.code}]` : String(first);
      if (!context.signal.aborted) await queue.noteTurn(here, { failure }).catch(() => undefined);
      throw error;
    }
  }

  async #turn(now: Date): Promise<PlanResult> {
    const { queue, configuration, here } = this.#options;
    const current = await configuration();
    const policies = [...current.policies.values()];
    const found = await this.#placement.find(current, policies);
    const nodes = await queue.nodes();
    const placed = placeOnNodes(found.instances, nodes);
    const atStores = placeStores(storeWorkOf(current).found, nodes);
    const problems = new Map<string, TurnProblem>();
    for (const problem of [...found.problems.map(asTurnProblem), ...placed.problems, ...atStores.problems])
      problems.set(problem.message, problem);
    const goneSince = [...this.#problems].filter(([message]) => !problems.has(message)).map(([, since]) => since.getTime());
    const outage = new Date(Math.min(now.getTime(), ...goneSince));
    const jobs = await queue.jobs(this.#since(outage, now), now);
    addLastGood(this.#lastGood, jobs);
    const stores = new Map(policies.map((policy) => [policy.name, policy.stores.filter(isName)]));
    const instances = placed.instances.map(({ policy, instance, node }): PlacedInstance => ({
      policy,
      instance,
      node,
      stores: stores.get(policy),
      lastGood: this.#lastGood.get(subjectKey({ policy, instance })),
    }));
    const plan = planFleet({ policies, instances, stores: atStores.stores, known: jobs.flatMap(asKnown), now });
    this.#say([...problems.keys(), ...plan.withoutWindow.map((name) => `policy ${name} has no window: a fleet does not run it by itself`)]);
    // First, so that what agents that are gone had is handed out soon; but no row that it fails with holds up the plan.
    const trouble = await queue.supervise().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const { added, dropped } = await this.#carryOut(plan);
    const findings = await this.#note(plan.findings);
    await this.#select(found, policies);
    await queue.forget(now);
    if (trouble !== undefined) throw trouble.error;
    await queue.noteTurn(here, { problems: [...problems.values()] });
    this.#problems = new Map([...problems.keys()].map((message) => [message, this.#problems.get(message) ?? outage]));
    this.#lastTurn = now;
    return { added, dropped, findings, problems: problems.size };
  }

  /**
   * Since when jobs are looked at, for windows that passed without a turn: a part of the fleet may have had no plan for longer than the days
   * that are looked at, because turns failed, or because what has asked for it could not be asked until now.
   *
   * @param outage since when there was what is gone now
   */
  #since(outage: Date, now: Date): Date {
    if (this.#lastTurn === undefined) return daysBefore(now, KEEP_DAYS);
    return daysBefore(new Date(Math.min(outage.getTime(), this.#lastTurn.getTime())), RECENT_DAYS);
  }

  /** Says each message once, until it is gone and comes again. */
  #say(messages: readonly string[]): void {
    for (const message of messages) if (!this.#said.has(message)) this.#options.note(message);
    this.#said = new Set(messages);
  }

  async #carryOut({ add, drop, fail }: FleetPlan): Promise<Pick<PlanResult, 'added' | 'dropped'>> {
    const { queue } = this.#options;
    const started = new Set<string>();
    for (const job of drop) if (!(await queue.drop(job))) started.add(job.id);
    for (const job of fail) await queue.fail(job);
    // What its old node has started meanwhile is not started on the new one too.
    const wanted = add.filter(({ id }) => !started.has(id));
    await queue.add(wanted);
    return { added: wanted.length, dropped: drop.length - started.size };
  }

  /** Notes what policies that have a window select. Where not all could be asked, what was selected still is. */
  async #select({ instances, complete }: Inventory, policies: readonly Policy[]): Promise<void> {
    const { queue } = this.#options;
    const before = this.#selected ?? new Map((await queue.selected()).map((each) => [subjectKey(each), each]));
    const inFleet = new Set(policies.filter(({ window }) => window !== undefined).map(({ name }) => name));
    const found = new Map<string, Subject>();
    for (const { policy, instance } of instances)
      if (inFleet.has(policy)) found.set(subjectKey({ policy, instance }), { policy, instance });
    const isGone = ([key, { policy }]: readonly [string, Subject]): boolean =>
      !found.has(key) && (complete.has(policy) || !inFleet.has(policy));
    const added = [...found].filter(([key]) => !before.has(key)).map(([, subject]) => subject);
    const removed = [...before].filter(isGone).map(([, subject]) => subject);
    await queue.select(added, removed);
    this.#selected = new Map([...[...before].filter((each) => !isGone(each)), ...found]);
  }

  /** @returns how many are new */
  async #note(findings: readonly Finding[]): Promise<number> {
    const key = ({ kind, id }: Finding): string => `${kind} ${id}`;
    const unknown = findings.filter((finding) => !this.#noted.has(key(finding)));
    const added = unknown.length === 0 ? 0 : await this.#options.queue.note(unknown);
    // Those of windows that are no longer looked at are forgotten.
    const current = new Set(findings.map(key));
    for (const known of this.#noted) if (!current.has(known)) this.#noted.delete(known);
    for (const known of current) this.#noted.add(known);
    return added;
  }
}

function daysBefore(time: Date, days: number): Date {
  return new Date(time.getTime() - days * DAY_MS);
}

function asTurnProblem({ what, message, code }: RunProblem): TurnProblem {
  return { about: what, message: `${what}: ${message} [${code}]` };
}

interface OnNodes {
  readonly instances: readonly Pick<PlacedInstance, 'policy' | 'instance' | 'node'>[];
  readonly problems: readonly TurnProblem[];
}

/** Places instances on the nodes of the fleet. Those on other hosts are left out, with a problem for each host. */
function placeOnNodes(instances: readonly FoundInstance[], nodes: readonly string[]): OnNodes {
  const placed: Pick<PlacedInstance, 'policy' | 'instance' | 'node'>[] = [];
  const missing = new Map<string, { readonly why: string; readonly count: number }>();
  for (const { policy, instance, host } of instances) {
    const found = nodeOf(nodes, host);
    if (found.node === undefined) missing.set(host, { why: whyNoNode(found), count: (missing.get(host)?.count ?? 0) + 1 });
    else placed.push({ policy, instance, node: found.node });
  }
  const problems = [...missing].map(([host, { why, count }]): TurnProblem => {
    const left = count === 1 ? '1 instance there is' : `${count} instances there are`;
    return { about: host, message: `${host} ${why}: ${left} not exported` };
  });
  return { instances: placed, problems };
}

/** Places work at stores on the nodes that these name. */
function placeStores(
  found: readonly FoundStoreWork[],
  nodes: readonly string[],
): { readonly stores: readonly PlacedSubject[]; readonly problems: readonly TurnProblem[] } {
  const stores: PlacedSubject[] = [];
  const problems: TurnProblem[] = [];
  for (const { policy, instance, work, host } of found) {
    const node = nodeOf(nodes, host);
    if (node.node !== undefined) stores.push({ policy, instance, work, node: node.node });
    else {
      const message = `${host}, the node of store ${instance}, ${whyNoNode(node)}: nothing follows the exports of policy ${policy} there`;
      problems.push({ about: `store ${instance}`, message });
    }
  }
  return { stores, problems };
}

function addLastGood(newest: Map<string, Date>, jobs: readonly FleetJob[]): void {
  for (const job of jobs) {
    if (job.state !== 'done' || job.endedOn === undefined) continue;
    const key = subjectKey(job);
    const other = newest.get(key);
    if (other === undefined || other < job.endedOn) newest.set(key, job.endedOn);
  }
}

/** What users asked for is not part of a plan. */
function asKnown({ begin, end, ...job }: FleetJob): readonly KnownJob[] {
  return begin === undefined || end === undefined ? [] : [{ ...job, begin, end }];
}
