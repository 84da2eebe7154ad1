import type { Policy } from '@gantry/config';
import { assertPolicies } from '@gantry/config';
import { ERROR_EXIT_CODES, GantryError, lowerPriority } from '@gantry/core';
import type { PolicyRun, PolicyRunRequest } from '@gantry/policies';
import { planPolicy, runPolicy } from '@gantry/policies';
import { wantsNewStore } from '../create-store.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CREATE_STORE, SCRIPTS } from '../command-line/options.ts';
import { reportRun } from '../monitoring/report-run.ts';
import { describePolicyPlan, describePolicyRun } from '../output/policy-run.ts';
import type { Session } from '../session.ts';

type Options = OptionValues<typeof SCRIPTS & typeof CREATE_STORE> & {
  readonly all: true | undefined;
  readonly instance: readonly string[] | undefined;
  readonly skipNewer: number | undefined;
  readonly again: true | undefined;
  readonly ignoreWindow: true | undefined;
  readonly dryRun: true | undefined;
};

/** How long it may take to say how a run ended, ms. */
const REPORT_TIMEOUT_MS = 120_000;

/** Runs `gantry run`. */
export async function run(session: Session, [names]: readonly [readonly string[]], options: Options): Promise<void> {
  if (options.again === true && options.skipNewer !== undefined) {
    throw new GantryError('USAGE', { message: '--again and --skip-newer exclude each other', hint: 'Leave one of them out.' });
  }
  const policies = await policiesOf(session, names, options);
  if (options.dryRun === true) await planAll(session, policies, options);
  else await runAll(session, policies, options);
}

/** @throws GantryError `USAGE` if none is named, or one does not exist */
async function policiesOf(session: Session, names: readonly string[], { all }: Options): Promise<readonly Policy[]> {
  const configuration = await session.configuration();
  const known = [...configuration.policies.values()];
  if (all === true && names.length > 0) {
    throw new GantryError('USAGE', { message: '--all and the names of policies exclude each other', hint: 'Leave one of them out.' });
  }
  if (all !== true && names.length === 0) {
    const hint = `Name a policy, or use --all. There ${known.length === 0 ? 'are none' : `are: ${known.map(({ name }) => name).join(', ')}`}.`;
    throw new GantryError('USAGE', { message: 'which policy to run is missing', hint });
  }
  assertPolicies(configuration, names);
  if (all === true && known.length === 0) {
    throw new GantryError('USAGE', { message: 'there are no policies in the configuration', hint: 'gantry.yaml has them under policies.' });
  }
  return all === true ? known : known.filter(({ name }) => names.includes(name));
}

async function requestOf(session: Session, policy: Policy, options: Options): Promise<PolicyRunRequest> {
  const { env, cwd, signal, warn } = session;
  const configuration = await session.configuration();
  return {
    ...session.operation,
    configuration,
    policy,
    settings: await session.settings({ policy: policy.name, store: policy.stores[0] }),
    context: { env, cwd, signal, warn },
    openStore: (named, access) => session.open(named, access, policy.name),
    signal,
    only: options.instance,
    skipNewerMs: options.skipNewer,
    again: options.again,
    ignoreWindow: options.ignoreWindow,
    createStore: options.createStore === true || wantsNewStore(env),
    onEnded: async (run) => {
      const { stateDirectory } = session.operation;
      // A run that was interrupted is reported, too.
      await reportRun(run, { configuration, stateDirectory, env, signal: AbortSignal.timeout(REPORT_TIMEOUT_MS), warn });
    },
  };
}

async function planAll(session: Session, policies: readonly Policy[], options: Options): Promise<void> {
  const plans = [];
  for (const policy of policies) plans.push(await planPolicy(await requestOf(session, policy, options)));
  for (const { warnings } of plans) for (const warning of warnings) session.warn(warning);
  const hasProblems = plans.some(({ instances, problems }) => problems.length > 0 || instances.some(({ would }) => would === 'fail'));
  if (hasProblems) session.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  session.output.result({ operation: 'run', dryRun: true, policies: plans }, plans.flatMap(describePolicyPlan));
}

async function runAll(session: Session, policies: readonly Policy[], options: Options): Promise<void> {
  const runs: PolicyRun[] = [];
  let busy = 0;
  for (const policy of policies) {
    lowerPriority(policy.priority);
    try {
      runs.push(await runPolicy(await requestOf(session, policy, options)));
    } catch (error) {
      // Alone, it is the error of the command.
      if (policies.length === 1 || !(error instanceof GantryError) || error.code !== 'BUSY') throw error;
      session.warn(`${error.message} [${error.code}]`);
      busy += 1;
    }
  }
  const exitCode = exitCodeOf(runs, busy);
  if (exitCode !== 0) session.exitWith(exitCode);
  session.output.result({ operation: 'run', dryRun: false, policies: runs }, runs.flatMap(describePolicyRun));
}

/** That of all policies where they agree; else a part was done. */
function exitCodeOf(runs: readonly PolicyRun[], busy: number): number {
  const codes = new Set([...runs.map(({ exitCode = 0 }) => exitCode), ...(busy > 0 ? [ERROR_EXIT_CODES.BUSY] : [])]);
  const [only = 0] = codes;
  return codes.size > 1 ? ERROR_EXIT_CODES.PARTLY_DONE : only;
}
