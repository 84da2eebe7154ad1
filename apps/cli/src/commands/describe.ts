import type { DescribedInstance } from '@gantry/core';
import { describeInstance, formatInstanceFile } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag } from '../command-line/options.ts';
import { describeRun } from '../output/run-state.ts';

const command: CommandModule = defineCommand({
  description: 'Print the instance file of an instance, from any inventory: what gantry export and the others take.',
  arguments: ['<instance>'],
  options: { withPrivate: flag('--with-private', 'print private OS parameters too') },
  examples: ['gantry describe /etc/gantry/instances/web1.yaml', 'gantry describe file:///etc/gantry/instances/web1.example.com'],
  run: async (session, [address], { withPrivate }) => {
    const described = await session.describe(address);
    const includePrivate = withPrivate === true;
    const { source, run, guarded, native } = described;
    const instance = describeInstance(described.instance, { includePrivate });
    const json = { operation: 'describe', source, instance, run, guarded };
    const nativeFile = native === undefined ? {} : { native: { name: native.name, bytes: native.bytes.length } };
    session.output.result({ ...json, ...nativeFile }, printFile(described, includePrivate));
  },
});

export default command;

/** What an instance file cannot say stands in front of it, as comments. */
function printFile({ instance, source, run }: DescribedInstance, includePrivate: boolean): readonly string[] {
  const left = includePrivate ? [] : Object.keys(instance.osparams_private);
  return [
    `# ${instance.name} of ${source}: ${run.state === 'unknown' ? 'unknown whether it runs' : describeRun(run)}`,
    ...(left.length === 0 ? [] : [`# private OS parameters are left out: ${left.join(', ')} (--with-private)`]),
    ...formatInstanceFile(instance, { includePrivate }).trimEnd().split('\n'),
  ];
}
