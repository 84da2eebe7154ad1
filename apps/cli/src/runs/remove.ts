import type { RemovalPlan, WritePlan } from '@gantry/core';
import { ERROR_EXIT_CODES, planRemoval, removeExport } from '@gantry/core';
import { formatBytes } from '@gantry/programs';
import { describeChecks, describeRemovalPlan } from '../output/plan.ts';
import type { Session } from '../session.ts';

/** Runs `gantry remove`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  { dryRun }: { readonly dryRun: true | undefined },
): Promise<void> {
  if (dryRun === true) return await showPlan(session, address, reference);
  await using store = await session.open(address, 'write');
  const { keptBytes, unclear } = await removeExport(store, reference, { signal: session.signal });
  warnOfUnclear(session, unclear);
  const kept = keptBytes === 0 ? '' : `; ${describeKept(keptBytes)}`;
  session.output.result({ operation: 'remove', store: store.address, reference, keptBytes, unclear }, `removed ${reference}${kept}`);
}

async function showPlan(session: Session, address: string, reference: string): Promise<void> {
  await using store = await session.open(address, 'read');
  const removal = await planRemoval(store, reference, { signal: session.signal });
  const { instance, keptBytes, unclear } = removal;
  warnOfUnclear(session, unclear);
  const plan = planOf(removal, store.address, reference);
  const says = keptBytes === 0 ? 'no other export needs its dumps' : describeKept(keptBytes);
  const checks = [{ check: 'references', says }] as const;
  const json = { operation: 'remove', store: store.address, reference, dryRun: true, instance, plan, checks, keptBytes, unclear };
  session.output.result(json, [...describeChecks(checks), ...describeRemovalPlan(plan), 'dry run: nothing was removed']);
}

function warnOfUnclear(session: Session, unclear: readonly string[]): void {
  for (const why of unclear) session.output.warn(`kept its dumps, because other exports may refer to them: ${why}`);
  if (unclear.length > 0) session.exitWith(ERROR_EXIT_CODES.MANIFEST_DAMAGED);
}

function describeKept(bytes: number): string {
  return `${formatBytes(bytes)} stay for other exports, until gantry prune finds that none needs them`;
}

/** Its dumps and frame maps; what else there is goes too. */
function planOf({ instance, files }: RemovalPlan, store: string, reference: string): WritePlan {
  const disks = files.flatMap(({ name, bytes, isKept }) => {
    const [, index] = /^disk(\d{1,3})\./.exec(name) ?? [];
    if (index === undefined) return [];
    const action = isKept ? 'keep' : 'remove';
    return [{ disk: Number(index), target: name, targetBytes: bytes, holds: 'a part of the export', action } as const];
  });
  return { from: reference, exported: instance, into: store, disks: disks.toSorted((a, b) => a.disk - b.disk) };
}
