import type { InstanceSummary } from '@gantry/core/inventory';
import { listFrom } from '@gantry/core';
import { formatTable } from '@gantry/programs';
import { describeRun } from '../output/run-state.ts';
import type { Session } from '../session.ts';

/** Runs `gantry instances`. */
export async function run(
  session: Session,
  [address, patterns]: readonly [string, readonly string[]],
  { tag: tags }: { readonly tag: readonly string[] | undefined },
): Promise<void> {
  await using source = await session.openInstances(address);
  const instances = await listFrom(source, { patterns, tags, signal: session.signal });
  const text = instances.length === 0 ? `no instances in ${source.address}` : describe(instances);
  session.output.result({ operation: 'instances', source: source.address, instances: instances.map(withoutKey) }, text);
}

/** How the source finds it again is its own affair. */
function withoutKey({ key: _key, ...shown }: InstanceSummary): Omit<InstanceSummary, 'key'> {
  return shown;
}

function describe(instances: readonly InstanceSummary[]): readonly string[] {
  return formatTable([['NAME', 'STATE', 'OS', 'HYPERVISOR', 'DISKS', 'TAGS'], ...instances.map(describeRow)]);
}

function describeRow({ name, run, os = '-', hypervisor = '-', disks, tags }: InstanceSummary): readonly string[] {
  return [name, describeRun(run), os, hypervisor, disks === undefined ? '-' : String(disks), tags.length === 0 ? '-' : tags.join(',')];
}
