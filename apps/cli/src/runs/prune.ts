import { policyNamed } from '@gantry/config';
import type { RetentionDecision, RetentionPolicy } from '@gantry/core';
import { ERROR_EXIT_CODES, GantryError, isPolicy, pruneStore } from '@gantry/core';
import { formatBytes, formatTable } from '@gantry/programs';
import type { OptionValues } from '../command-line/command.ts';
import type { KEEP } from '../command-line/keep-options.ts';
import { policyOf } from '../command-line/keep-options.ts';
import type { POLICY } from '../command-line/options.ts';
import type { Session } from '../session.ts';

/** Runs `gantry prune`. */
export async function run(
  session: Session,
  [address, instance]: readonly [string, string | undefined],
  options: OptionValues<typeof KEEP & typeof POLICY> & { readonly dryRun: true | undefined },
): Promise<void> {
  const policy = await retentionOf(session, options);
  const access = options.dryRun === true ? 'read' : 'write';
  const { allowedSigners, requireSignature } = await session.settings({ store: address }, access);
  await using store = await session.open(address, access);
  const rows: string[][] = [];
  // A real run of a large store keeps only what it removes in memory.
  const decided = (name: string, decision: RetentionDecision): void => {
    if (options.dryRun === true) rows.push(rowOf(name, decision));
  };
  const result = await pruneStore({
    allowedSigners,
    requireSignature,
    store,
    instances: instance === undefined ? undefined : [instance],
    policy,
    dryRun: options.dryRun,
    decided,
    stateDirectory: session.operation.stateDirectory,
    signal: session.signal,
  });
  for (const what of result.damaged) session.output.warn(`${what}: it is not counted, and not removed`);
  for (const { reference, reason } of result.refused)
    session.output.warn(`${reference} is refused, so nothing of its instance is removed: ${reason}`);
  for (const reference of result.relabeled) session.output.warn(`${reference} got other labels meanwhile: it was not removed`);
  for (const why of result.unclear) session.output.warn(`no dump was deleted, because other exports may refer to them: ${why}`);
  if (result.damaged.length + result.unclear.length > 0) session.exitWith(ERROR_EXIT_CODES.MANIFEST_DAMAGED);
  else if (result.refused.length > 0) session.exitWith(ERROR_EXIT_CODES.SIGNATURE_INVALID);
  const table = rows.length === 0 ? [] : [...formatTable([['EXPORT', 'DECISION', 'WHY'], ...rows]), ''];
  const lines = options.dryRun === true ? table : result.removed.map((reference) => `removed ${reference}`);
  const dryRun = options.dryRun === true;
  session.output.result({ operation: 'prune', store: store.address, dryRun, ...result }, [...lines, summaryOf(result, dryRun)]);
}

/** @throws GantryError `USAGE` for a policy beside options, or without retention */
async function retentionOf(session: Session, options: OptionValues<typeof KEEP & typeof POLICY>): Promise<RetentionPolicy> {
  const ofOptions = policyOf(options);
  if (options.policy === undefined) return ofOptions;
  if (isPolicy(ofOptions)) {
    throw new GantryError('USAGE', {
      message: '--policy and --keep-… both say what is kept',
      hint: 'Leave one of them out.',
    });
  }
  const { retention } = policyNamed(await session.configuration(), options.policy);
  if (retention !== undefined) return retention;
  throw new GantryError('USAGE', {
    message: `the policy ${options.policy} has no retention, so that it does not say which exports are kept`,
    hint: 'Give it retention in gantry.yaml, or use --keep-… instead.',
  });
}

function rowOf(instance: string, { export: { id }, reasons }: RetentionDecision): string[] {
  return [`${instance}@${id}`, reasons.length === 0 ? 'remove' : 'keep', reasons.join(', ')];
}

function summaryOf({ removed, kept, deletedBytes, markedBytes }: Awaited<ReturnType<typeof pruneStore>>, isDryRun: boolean): string {
  const would = isDryRun ? 'would be ' : '';
  return (
    `${removed.length} exports ${would}removed, ${kept} kept; ` +
    `${formatBytes(deletedBytes)} of dumps ${would}deleted, ${formatBytes(markedBytes)} go with the next prune`
  );
}
