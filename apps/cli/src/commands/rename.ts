import { renameInstance } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SCRIPTS, TARGETS } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description: 'Give the installed system its new name, with the rename script. The instance file is not changed.',
  arguments: ['<instance>', '<new-name>'],
  options: { ...SCRIPTS, ...TARGETS },
  examples: ['gantry rename web1.yaml web2.example.com'],
  run: async (session, [named, newName], { forceInUse }) => {
    const guard = await session.describe(named);
    const { instance } = guard;
    await renameInstance({ ...session.operation, instance, newName, guard, forceInUse });
    session.output.result(
      { operation: 'rename', instance: newName, oldName: instance.name },
      `renamed ${instance.name} to ${newName}; now change the name in the instance file too`,
    );
  },
});

export default command;
