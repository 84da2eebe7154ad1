import type { Configuration } from '@gantry/config';
import { assertPolicies, SENDMAIL } from '@gantry/config';
import { GantryError, lockPolicy, openStateDirectory } from '@gantry/core';
import type { PolicyRun } from '@gantry/policies';
import { endKilledRuns, runThatDidNotBegin } from '@gantry/policies';
import { headlineOf } from '../monitoring/describe-run.ts';
import { report } from '../monitoring/report-run.ts';
import type { Session } from '../session.ts';

/** Who reads of a configuration that cannot be read: as with cron, root. */
const MAIL_TO_ROOT: Pick<Configuration, 'notify' | 'metrics' | 'policies'> = {
  notify: { on: 'failure', mail: { to: ['root'], sendmail: SENDMAIL } },
  metrics: {},
  policies: new Map(),
};

/** Runs `gantry notify`. */
export async function run(session: Session, [policy]: readonly [string]): Promise<void> {
  const runs = await reportRuns(session, policy);
  const text = runs.length === 0 ? `the runs of policy ${policy} that ended have reported themselves` : runs.map(headlineOf);
  session.output.result({ operation: 'notify', policies: runs }, text);
}

async function reportRuns(session: Session, policy: string): Promise<readonly PolicyRun[]> {
  let readable = MAIL_TO_ROOT;
  try {
    const configuration = await session.configuration();
    readable = configuration;
    assertPolicies(configuration, [policy]);
    return await reportKilledRuns(session, policy, configuration);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    // Another run has started, and has done this.
    if (error.code === 'BUSY') return [];
    const failed = await runThatDidNotBegin(policy, error);
    await report(session, failed, { configuration: readable, hasBegun: false });
    return [failed];
  }
}

async function reportKilledRuns(session: Session, policy: string, configuration: Configuration): Promise<readonly PolicyRun[]> {
  const { operation, signal, warn } = session;
  const { stateDirectory } = operation;
  await using _lock = await lockPolicy(await openStateDirectory(stateDirectory), policy, signal);
  const killed = await endKilledRuns(policy, { stateDirectory, warn });
  for (const each of killed) await report(session, each, { configuration, hasBegun: true });
  return killed;
}
