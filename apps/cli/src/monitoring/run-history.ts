import type { Configuration } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import { readPolicyRuns } from '@gantry/policies';
import type { ExportOfRun } from './exports-of-run.ts';
import { exportsOf } from './exports-of-run.ts';

/** The last good export of an instance in a store that a run on this machine made. */
export interface GoodExport extends ExportOfRun {
  readonly store: string;
  /** When the run began that made it: ISO 8601, UTC. */
  readonly at: string;
}

/** What this machine remembers of the runs of a policy. */
export interface RunHistory {
  /** The last one that has ended. */
  readonly last: PolicyRun;
  /** The last good export of each instance that it was about. */
  readonly good: readonly GoodExport[];
}

/** What is remembered of each policy of the configuration that has run here. */
export async function readHistories(
  policies: Configuration['policies'],
  stateDirectory: string | undefined,
): Promise<readonly RunHistory[]> {
  const all = await Promise.all([...policies.keys()].map(async (policy) => historyOf(await readPolicyRuns(policy, { stateDirectory }))));
  return all.flatMap((each) => each ?? []);
}

/** @param runs newest first */
function historyOf(runs: readonly PolicyRun[]): RunHistory | undefined {
  const ended = runs.filter(({ outcome }) => outcome !== 'running');
  const [last] = ended;
  if (last === undefined) return undefined;
  const good = new Map<string, GoodExport>();
  for (const run of ended) {
    for (const made of exportsOf(run)) {
      const { instance, store, outcome } = made;
      if (store === undefined || (outcome !== 'exported' && outcome !== 'copied')) continue;
      const key = JSON.stringify([instance, store]);
      if (!good.has(key)) good.set(key, { ...made, store, at: run.started });
    }
  }
  const current = new Set(last.instances.map(({ name }) => name));
  return { last, good: [...good.values()].filter(({ instance }) => current.has(instance)) };
}
