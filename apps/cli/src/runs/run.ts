import process from 'node:process';
import type { Policy } from '@gantry/config';
import { assertPolicies } from '@gantry/config';
import { asFirstError, ERROR_EXIT_CODES, GantryError } from '@gantry/core';
import type { PolicyRun, PolicyRunRequest } from '@gantry/policies';
import { planPolicy, runPolicy } from '@gantry/policies';
import { wantsNewStore } from '../create-store.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CREATE_STORE, SCRIPTS } from '../command-line/options.ts';
import { report } from '../monitoring/report-run.ts';
import { describePolicyPlan, describePolicyRun } from '../output/policy-run.ts';
import type { Session } from '../session.ts';

type Options = OptionValues<typeof SCRIPTS & typeof CREATE_STORE> & {
  readonly all: true | undefined;
  readonly instance: readonly string[] | undefined;
  readonly skipNewer: number | undefined;
  readonly exportsOnly: true | undefined;
  readonly storeOnly: string | undefined;
  readonly again: true | undefined;
  readonly ignoreWindow: true | undefined;
  readonly dryRun: true | undefined;
};

/** Runs `gantry run`. */
export async function run(session: Session, [names]: readonly [readonly string[]], options: Options): Promise<void> {
  if (options.again === true && options.skipNewer !== undefined) {
    throw new GantryError('USAGE', { message: '--again and --skip-newer exclude each other', hint: 'Leave one of them out.' });
  }
  const policies = await policiesOf(session, names, options);
  if (options.exportsOnly === true) assertOneInstance(policies, options);
  if (options.storeOnly !== undefined) assertOneStore(policies, options.storeOnly, options);
  if (options.dryRun === true) await planAll(session, policies, options);
  else await runAll(session, policies, options);
}

/**
 * A run that only exports is one of many that another program starts and records.
 *
 * @throws GantryError `USAGE` unless it is for one policy and one instance
 */
function assertOneInstance(policies: readonly Policy[], { instance = [], dryRun }: Options): void {
  const hint = 'Name one policy and one instance, without *; leave --dry-run out.';
  if (policies.length !== 1 || instance.length !== 1 || instance.some((name) => name.includes('*')) || dryRun === true)
    throw new GantryError('USAGE', { message: '--exports-only goes with one policy and one --instance', hint });
}

/** @throws GantryError `USAGE` unless it is for one policy that has this store, and for nothing else */
function assertOneStore(policies: readonly Policy[], named: string, options: Options): void {
  const { exportsOnly, instance, again, ignoreWindow, dryRun } = options;
  const [policy, other] = policies;
  const isMore = [exportsOnly, instance, again, ignoreWindow, dryRun].some((each) => each !== undefined);
  if (policy === undefined || other !== undefined || isMore) {
    const hint = 'Name one policy; of the other options, --skip-newer and --create-store go with it.';
    throw new GantryError('USAGE', { message: '--store-only goes with one policy, and not with options for exports', hint });
  }
  const stores = [...policy.stores, ...policy.copies.map(({ to }) => to)];
  if (stores.includes(named)) return;
  throw new GantryError('USAGE', { message: `policy ${policy.name} has no store ${named}`, hint: `It has ${stores.join(', ')}.` });
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
  return {
    ...session.operation,
    configuration: await session.configuration(),
    policy,
    settings: await session.settings({ policy: policy.name, store: policy.stores[0] }),
    settingsOf: (named) => session.settings({ policy: policy.name, store: named }),
    context: { env, cwd, signal, warn },
    openStore: (named, access) => session.openSealed(named, access, {}, policy.name),
    signal,
    only: options.instance,
    exportsOnly: options.exportsOnly,
    storeOnly: options.storeOnly,
    skipNewerMs: options.skipNewer,
    again: options.again,
    ignoreWindow: options.ignoreWindow,
    createStore: options.createStore === true || wantsNewStore(env),
  };
}

async function planAll(session: Session, policies: readonly Policy[], options: Options): Promise<void> {
  const plans = [];
  for (const policy of policies) plans.push(await planPolicy(await requestOf(session, policy, options)));
  for (const { warnings } of plans) for (const warning of warnings) session.warn(warning);
  const hasProblems = plans.some(
    ({ instances, problems }) => problems.length > 0 || instances.some(({ problem }) => problem !== undefined),
  );
  if (hasProblems) session.exitWith(ERROR_EXIT_CODES.PARTLY_DONE);
  session.output.result({ operation: 'run', dryRun: true, policies: plans }, plans.flatMap(describePolicyPlan));
}

async function runAll(session: Session, policies: readonly Policy[], options: Options): Promise<void> {
  const runs: PolicyRun[] = [];
  for (const policy of policies) runs.push(await runOne(session, await requestOf(session, policy, options), policies.length === 1));
  const exitCode = exitCodeOf(runs);
  if (exitCode !== 0) session.exitWith(exitCode);
  const width = process.stdout.isTTY ? process.stdout.columns : Infinity;
  const text = runs.flatMap((each) => describePolicyRun(each, width));
  session.output.result({ operation: 'run', dryRun: false, policies: runs }, text);
}

/** Runs a policy, and reports how that ended. What it fails with is the error of the command only if it `isAlone`. */
async function runOne(session: Session, request: PolicyRunRequest, isAlone: boolean): Promise<PolicyRun> {
  let last: PolicyRun | undefined;
  const reported =
    (hasBegun: boolean) =>
    async (run: PolicyRun): Promise<void> => {
      last = run;
      if (request.exportsOnly === true || request.storeOnly !== undefined) return;
      // Who starts a run at a terminal that cannot begin is there, and reads why.
      if (hasBegun || !process.stderr.isTTY) await report(session, run, { configuration: request.configuration, hasBegun });
    };
  try {
    return await runPolicy({ ...request, onEnded: reported(true), onNotBegun: reported(false) });
  } catch (error) {
    session.signal.throwIfAborted();
    if (isAlone || last === undefined) throw error;
    const first = asFirstError(error);
    session.warn(first instanceof GantryError ? `${first.message} [${first.code}]` : String(first));
    return last;
  }
}

/** That of all policies where they agree; else a part was done. */
function exitCodeOf(runs: readonly PolicyRun[]): number {
  const codes = new Set(runs.map(({ exitCode = 0 }) => exitCode));
  const [only = 0] = codes;
  return codes.size > 1 ? ERROR_EXIT_CODES.PARTLY_DONE : only;
}
