import type { InstanceSummary } from '@gantry/core/inventory';
import { listFrom } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { texts } from '../command-line/options.ts';
import { formatTable } from '../output/format.ts';
import { describeRun } from '../output/run-state.ts';

const command: CommandModule = defineCommand({
  description: 'List the instances that a source describes: a directory of instance files, or SCHEME: of an inventory that is installed.',
  arguments: ['<source>', '[pattern...]'],
  options: { tag: texts('--tag <tag>', 'only instances with this tag') },
  examples: ['gantry instances /etc/gantry/instances', "gantry instances /etc/gantry/instances 'web*' db1.example.com --tag prod"],
  run: async (session, [address, patterns], { tag: tags }) => {
    await using source = await session.openInstances(address);
    const instances = await listFrom(source, { patterns, tags, signal: session.signal });
    const text = instances.length === 0 ? `no instances in ${source.address}` : describe(instances);
    session.output.result({ operation: 'instances', source: source.address, instances }, text);
  },
});

export default command;

function describe(instances: readonly InstanceSummary[]): readonly string[] {
  return formatTable([['NAME', 'STATE', 'OS', 'HYPERVISOR', 'DISKS', 'TAGS'], ...instances.map(describeRow)]);
}

function describeRow({ name, run, os = '-', hypervisor = '-', disks, tags }: InstanceSummary): readonly string[] {
  return [name, describeRun(run), os, hypervisor, disks === undefined ? '-' : String(disks), tags.length === 0 ? '-' : tags.join(',')];
}
