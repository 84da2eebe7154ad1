import { resolve } from 'node:path';
import { loadInstanceFile, renameInstance } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SCRIPTS, TARGETS } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description: 'Make the installed system know its new name, with the rename script. The instance file stays as it is.',
  arguments: ['<instance-file>', '<new-name>'],
  options: { ...SCRIPTS, ...TARGETS },
  examples: ['gantry rename web1.yaml web2.example.com'],
  run: async (session, [file, newName], { forceInUse }) => {
    const instance = await loadInstanceFile(resolve(session.cwd, file), { signal: session.signal });
    await renameInstance({ ...session.operation, instance, newName, forceInUse });
    session.output.result(
      { operation: 'rename', instance: newName, oldName: instance.name },
      `${instance.name} renamed to ${newName}; write the new name into the instance file too`,
    );
  },
});

export default command;
