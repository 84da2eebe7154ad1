import type { Policy } from '@gantry/config';
import { listStore, errorText } from '@gantry/core';
import { readPolicyRuns, selectInstances } from '@gantry/policies';
import type { Session } from '../session.ts';
import { readNextRuns } from './next-runs.ts';
import type { PolicyStatus, StoreAnswer } from './policy-status.ts';
import { instanceStatus, storesOf } from './policy-status.ts';
import { refusedOf } from './refused-exports.ts';

interface SelectedNames {
  readonly policy: Policy;
  readonly names: readonly string[];
  readonly problems: readonly string[];
}

/**
 * Asks every source and store of the policies what is there now. One that cannot be asked is part of the answer.
 *
 * @throws the reason of the signal
 */
export async function askPolicies(session: Session, policies: readonly Policy[]): Promise<readonly PolicyStatus[]> {
  const { operation, signal } = session;
  const [selected, nextRuns] = await Promise.all([
    Promise.all(policies.map((policy) => selectNames(session, policy))),
    readNextRuns(signal),
  ]);
  const answers = await askStores(session, selected);
  const now = new Date();
  return await Promise.all(
    selected.map(async ({ policy, names, problems }) => {
      let isUnknown = false;
      const warn = (message: string): void => {
        isUnknown = true;
        session.warn(message);
      };
      const [lastRun] = await readPolicyRuns(policy.name, { stateDirectory: operation.stateDirectory, newest: 1, warn });
      const { name, maxAgeMs } = policy;
      return {
        policy: name,
        maxAgeMs,
        instances: names.flatMap((instance) =>
          storesOf(policy).map((store) =>
            instanceStatus(instance, store, answers.get(store.named)?.get(name) ?? { reason: 'it was not asked' }, { maxAgeMs, now }),
          ),
        ),
        problems,
        nextRun: nextRuns.get(name),
        lastRunUnknown: lastRun === undefined && isUnknown ? true : undefined,
        lastRun: lastRun && { started: lastRun.started, ended: lastRun.ended, outcome: lastRun.outcome },
      };
    }),
  );
}

async function selectNames(session: Session, policy: Policy): Promise<SelectedNames> {
  const { signal, env, cwd, warn } = session;
  const configuration = await session.configuration();
  await using selection = await selectInstances(policy.instances, { configuration, signal, env, cwd, warn });
  for (const warning of selection.warnings) warn(warning);
  const problems = selection.problems.map(({ what, message }) => `${what}: ${message}`);
  return { policy, names: selection.instances.map(({ name }) => name), problems };
}

/** Each store is asked once, for the instances of all policies that use it. @returns by stores, what it answered each policy */
async function askStores(
  session: Session,
  selected: readonly SelectedNames[],
): Promise<ReadonlyMap<string, ReadonlyMap<string, StoreAnswer>>> {
  const asking = new Map<string, SelectedNames[]>();
  for (const each of selected) for (const { named } of storesOf(each.policy)) asking.set(named, [...(asking.get(named) ?? []), each]);
  const answers = await Promise.all([...asking].map(async ([named, all]) => [named, await askStore(session, named, all)] as const));
  return new Map(answers);
}

async function askStore(session: Session, named: string, all: readonly SelectedNames[]): Promise<ReadonlyMap<string, StoreAnswer>> {
  const { open, operation, signal } = session;
  const failed = (error: unknown): StoreAnswer => {
    signal.throwIfAborted();
    return { reason: errorText(error) };
  };
  try {
    await using store = await open(named, 'read');
    const instances = [...new Set(all.flatMap(({ names }) => names))];
    const { exports } = await listStore({ store, instances, stateDirectory: operation.stateDirectory, signal });
    const answers = new Map<string, StoreAnswer>();
    for (const { policy, names } of all) {
      try {
        const signers = await session.settings({ store: named, policy: policy.name }, 'read');
        answers.set(policy.name, { exports, refused: await refusedOf(store, exports, { ...signers, names, signal }) });
      } catch (error) {
        answers.set(policy.name, failed(error));
      }
    }
    return answers;
  } catch (error) {
    const answer = failed(error);
    return new Map(all.map(({ policy }) => [policy.name, answer]));
  }
}
