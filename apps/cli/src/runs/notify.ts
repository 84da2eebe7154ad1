import { assertPolicies, SENDMAIL } from '@gantry/config';
import { GantryError, lockPolicy, openStateDirectory } from '@gantry/core';
import type { PolicyRun } from '@gantry/policies';
import { endKilledRuns, runThatDidNotBegin } from '@gantry/policies';
import { headlineOf } from '../monitoring/describe-run.ts';
import type { ReportOptions } from '../monitoring/report-run.ts';
import { report } from '../monitoring/report-run.ts';
import type { Session } from '../session.ts';

/** Who reads of a configuration that cannot be read: as with cron, root. */
const MAIL_TO_ROOT: ReportOptions['configuration'] = {
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
  let configured = MAIL_TO_ROOT;
  try {
    const configuration = await session.configuration();
    configured = configuration;
    assertPolicies(configuration, [policy]);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    const failed = await runThatDidNotBegin(policy, error);
    await report(session, failed, { configuration: configured, hasBegun: false });
    return [failed];
  }
  return await reportKilledRuns(session, policy, configured);
}

/** @throws GantryError `STATE_UNUSABLE`: the run has met it, too, and has reported it */
async function reportKilledRuns(
  session: Session,
  policy: string,
  configuration: ReportOptions['configuration'],
): Promise<readonly PolicyRun[]> {
  const { operation, signal, warn } = session;
  const { stateDirectory } = operation;
  await using lock = await lockPolicy(await openStateDirectory(stateDirectory), policy, { signal }).catch((error: unknown) => {
    // Another run has started, and has done this.
    if (error instanceof GantryError && error.code === 'BUSY') return undefined;
    throw error;
  });
  if (lock === undefined) return [];
  const killed = await endKilledRuns(policy, { stateDirectory, warn });
  for (const each of killed) await report(session, each, { configuration, hasBegun: true });
  return killed;
}
