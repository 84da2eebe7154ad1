import type { Configuration } from '@gantry/config';
import type { PolicyRun } from '@gantry/policies';
import { readPolicyRuns } from '@gantry/policies';
import { storesOf } from './policy-status.ts';
import type { GoodExport } from './good-exports.ts';
import { goodAfter, keepGoodExports, readGoodExports } from './good-exports.ts';
import { errorText } from '@gantry/core';

/** Called with what cannot be read, which may hide runs. */
type Warn = (message: string) => void;

/** What this machine remembers of the runs of a policy. */
export interface RunHistory {
  readonly policy: string;
  /** The last one that has ended, and was not about some instances only. */
  readonly last?: PolicyRun | undefined;
  /** The last good export of each of its instances in each of its stores. */
  readonly good: readonly GoodExport[];
}

/**
 * Remembers a run that has ended, which its record need not say: its disk may be full.
 *
 * @param warn called if it cannot be kept for the next run
 */
export async function rememberRun(run: PolicyRun, stateDirectory: string | undefined, warn: Warn): Promise<RunHistory> {
  const { policy } = run;
  const good = goodAfter(await readGoodExports(policy, stateDirectory, warn), run);
  try {
    await keepGoodExports(policy, stateDirectory, good);
  } catch (error) {
    warn(`cannot remember the good exports of policy ${policy}: ${errorText(error)}`);
  }
  return { policy, last: run.selection === 'named' ? await lastRun(policy, stateDirectory, warn) : run, good };
}

/** What is remembered when a run could not begin, which leaves no record: another one may be under way. */
export async function historyWith(run: PolicyRun, stateDirectory: string | undefined, warn: Warn): Promise<RunHistory> {
  const known = await historyOf(run.policy, stateDirectory, warn);
  return run.selection === 'named' ? known : { ...known, last: run };
}

/** What is remembered of each policy of the configuration. @param own of the run that has just ended */
export async function readHistories(
  policies: Configuration['policies'],
  stateDirectory: string | undefined,
  own: RunHistory,
  warn: Warn,
): Promise<readonly RunHistory[]> {
  return await Promise.all(
    [...policies.values()].map(async (policy) => {
      const { name } = policy;
      const current = new Set(storesOf(policy).map(({ named }) => named));
      const { last, good } = name === own.policy ? own : await historyOf(name, stateDirectory, warn);
      return { policy: name, last, good: good.filter(({ store }) => current.has(store)) };
    }),
  );
}

async function historyOf(policy: string, stateDirectory: string | undefined, warn: Warn): Promise<RunHistory> {
  return { policy, last: await lastRun(policy, stateDirectory, warn), good: await readGoodExports(policy, stateDirectory, warn) };
}

async function lastRun(policy: string, stateDirectory: string | undefined, warn: Warn): Promise<PolicyRun | undefined> {
  const runs = await readPolicyRuns(policy, { stateDirectory, warn });
  return runs.find(({ outcome, selection }) => outcome !== 'running' && selection !== 'named');
}
