import { createInstance } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag, SCRIPTS, TARGETS } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<instance>'],
  options: {
    ...SCRIPTS,
    ...TARGETS,
    reinstall: flag('--reinstall', 'tell the script that it reinstalls an existing instance'),
  },
  examples: ['gantry create web1.yaml', 'gantry create web1.yaml --reinstall'],
  run: async (session, [named], options) => {
    const reinstall = options.reinstall === true;
    const guard = await session.describe(named);
    const { instance } = guard;
    await createInstance({ ...session.operation, instance, reinstall, guard, forceInUse: options.forceInUse });
    session.output.result(
      { operation: 'create', instance: instance.name, os: instance.os, reinstall },
      `${instance.name} ${reinstall ? 'reinstalled' : 'installed'} with ${instance.os}`,
    );
  },
});

export default command;
