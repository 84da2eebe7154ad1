import type { RetentionDecision } from '@gantry/core';
import { ERROR_EXIT_CODES, pruneStore } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { KEEP } from '../command-line/keep-options.ts';
import { policyOf } from '../command-line/keep-options.ts';
import { formatBytes, formatTable } from '../output/format.ts';
import type { Session } from '../session.ts';

/** Runs `gantry prune`. */
export async function run(
  session: Session,
  [address, instance]: readonly [string, string | undefined],
  options: OptionValues<typeof KEEP> & { readonly dryRun: true | undefined },
): Promise<void> {
  await using store = await session.open(address, options.dryRun === true ? 'read' : 'write');
  const rows: string[][] = [];
  // A real run of a large store keeps only what it removes in memory.
  const decided = (name: string, decision: RetentionDecision): void => {
    if (options.dryRun === true) rows.push(rowOf(name, decision));
  };
  const policy = policyOf(options);
  const result = await pruneStore({
    store,
    instances: instance === undefined ? undefined : [instance],
    policy,
    dryRun: options.dryRun,
    decided,
    signal: session.signal,
  });
  for (const what of result.damaged) session.output.warn(`${what}: it is not counted, and not removed`);
  for (const why of result.unclear) session.output.warn(`no dump was deleted, because other exports may refer to them: ${why}`);
  if (result.damaged.length + result.unclear.length > 0) session.exitWith(ERROR_EXIT_CODES.MANIFEST_DAMAGED);
  const table = rows.length === 0 ? [] : [...formatTable([['EXPORT', 'DECISION', 'WHY'], ...rows]), ''];
  const lines = options.dryRun === true ? table : result.removed.map((reference) => `removed ${reference}`);
  const dryRun = options.dryRun === true;
  session.output.result({ operation: 'prune', store: store.address, dryRun, ...result }, [...lines, summaryOf(result, dryRun)]);
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
