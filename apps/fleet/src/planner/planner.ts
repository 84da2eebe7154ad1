import type { Configuration, OpenContext } from '@gantry/config';
import { isName } from '@gantry/config';
import { isSameHost } from '@gantry/core';
import type { FleetJob, FleetQueue } from '../queue/fleet-queue.ts';
import { KEEP_DAYS } from '../queue/fleet-queue.ts';
import { subjectKey } from './job.ts';
import type { FoundInstance } from './placement.ts';
import { Placement } from './placement.ts';
import type { Finding, FleetPlan, KnownJob, PlacedInstance } from './plan.ts';
import { planFleet } from './plan.ts';

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

const DAY_MS = 24 * 3_600_000;
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
  #isFirst = true;

  constructor(options: PlannerOptions) {
    this.#options = options;
    this.#placement = new Placement(options.context, options.here);
  }

  /** @throws GantryError `CONFIGURATION_*`, `QUEUE_*`; the signal's reason */
  async turn(now: Date = new Date()): Promise<PlanResult> {
    const { queue, configuration, note } = this.#options;
    const current = await configuration();
    const policies = [...current.policies.values()];
    const said = new Set<string>();
    const say = (message: string): void => void said.add(message);
    const { instances, problems } = await this.#placement.find(current, policies);
    for (const { what, message, code } of problems) say(`${what}: ${message} [${code}]`);
    const days = this.#isFirst ? KEEP_DAYS : RECENT_DAYS;
    const jobs = await queue.jobs(new Date(now.getTime() - days * DAY_MS), now);
    this.#isFirst = false;
    addLastGood(this.#lastGood, jobs);
    const stores = new Map(policies.map((policy) => [policy.name, policy.stores.filter(isName)]));
    const placed = onNodes(instances, await queue.nodes(), { stores, lastGood: this.#lastGood }, say);
    const plan = planFleet({ policies, instances: placed, known: jobs.flatMap(asKnown), now });
    const problemCount = said.size;
    for (const name of plan.withoutWindow) say(`policy ${name} has no window: a fleet does not run it by itself`);
    for (const message of said) if (!this.#said.has(message)) note(message);
    this.#said = said;
    // First, so that what agents that are gone had is handed out soon; but no row that it fails with holds up the plan.
    const trouble = await queue.supervise().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    const { added, dropped } = await this.#carryOut(plan);
    const findings = await this.#note(plan.findings);
    await queue.forget(now);
    if (trouble !== undefined) throw trouble.error;
    return { added, dropped, findings, problems: problemCount };
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

interface Known {
  /** Names of the stores of each policy. */
  readonly stores: ReadonlyMap<string, readonly string[]>;
  /** When the newest good export of each subject ended. */
  readonly lastGood: ReadonlyMap<string, Date>;
}

/** Places instances on the nodes of the fleet. Those on other hosts are left out, with a message for each host. */
function onNodes(
  instances: readonly FoundInstance[],
  nodes: readonly string[],
  { stores, lastGood }: Known,
  say: (message: string) => void,
): readonly PlacedInstance[] {
  const placed: PlacedInstance[] = [];
  const missing = new Map<string, number>();
  for (const found of instances) {
    const { policy, instance, host } = found;
    const node = nodes.find((name) => isSameHost(name, host));
    if (node === undefined) missing.set(host, (missing.get(host) ?? 0) + 1);
    else placed.push({ policy, instance, node, stores: stores.get(policy), lastGood: lastGood.get(subjectKey(found)) });
  }
  for (const [host, count] of missing)
    say(`${host} is not a node of the fleet: ${count === 1 ? '1 instance there is' : `${count} instances there are`} not exported`);
  return placed;
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
