import type { Configuration, OpenContext, Policy } from '@gantry/config';
import type { RunProblem, SelectedInstance } from '@gantry/policies';
import { problemOf, selectInstances } from '@gantry/policies';
import { sideBySide } from '@gantry/core';
import type { Subject } from './job.ts';

/** An instance of a policy, and the host that has its disks, as its source names it. */
export interface FoundInstance extends Subject {
  readonly host: string;
}

/** The instances of policies. */
export interface Inventory {
  readonly instances: readonly FoundInstance[];
  /** What sources and instances could not be asked, with why: the plan has the others. */
  readonly problems: readonly RunProblem[];
  /** Names of policies of which all could be asked. */
  readonly complete: ReadonlySet<string>;
}

/** How long the host of an instance that does not run counts, ms: moving it takes longer than asking every minute is worth. */
const KEEP_MS = 10 * 60_000;
/** How many instances are asked for at once. */
const PARALLEL = 8;

/** Finds the instances of policies and where their disks are, over and over again. */
export class Placement {
  readonly #context: OpenContext;
  /** This host: the one of instances that are described where they are. */
  readonly #here: string;
  readonly #hosts = new Map<string, { readonly host: string; readonly until: number }>();

  constructor(context: OpenContext, here: string) {
    this.#context = context;
    this.#here = here;
  }

  /** @throws the signal's reason */
  async find(configuration: Configuration, policies: readonly Policy[]): Promise<Inventory> {
    const instances: FoundInstance[] = [];
    const problems: RunProblem[] = [];
    const complete = new Set<string>();
    for (const policy of policies) {
      const before = problems.length;
      await using selection = await selectInstances(policy.instances, { ...this.#context, configuration });
      problems.push(...selection.problems);
      await sideBySide(selection.instances, PARALLEL, this.#context.signal, async (selected, signal) => {
        try {
          const host = await this.#hostOf(selected, signal);
          instances.push({ policy: policy.name, instance: selected.name, host });
        } catch (error) {
          this.#context.signal.throwIfAborted();
          problems.push(problemOf(selected.name, error));
        }
      });
      if (problems.length === before) complete.add(policy.name);
    }
    return { instances: instances.toSorted(inOrder), problems, complete };
  }

  /** One that runs is where it runs; of another one, its source is asked for its disks. */
  async #hostOf({ source, key, run, describe }: SelectedInstance, signal: AbortSignal): Promise<string> {
    if (run.state === 'running') return run.node;
    const place = JSON.stringify([source.address, key]);
    const known = this.#hosts.get(place);
    if (known !== undefined && known.until > performance.now()) return known.host;
    const { disksOn } = await describe(signal);
    const host = disksOn ?? this.#here;
    this.#hosts.set(place, { host, until: performance.now() + KEEP_MS });
    return host;
  }
}

function inOrder(a: Subject, b: Subject): number {
  if (a.policy !== b.policy) return a.policy < b.policy ? -1 : 1;
  return a.instance < b.instance ? -1 : 1;
}
