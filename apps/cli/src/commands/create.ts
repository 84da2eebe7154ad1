import { resolve } from 'node:path';
import { createInstance, loadInstanceFile } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag, SCRIPTS, TARGETS } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['<instance-file>'],
  options: {
    ...SCRIPTS,
    ...TARGETS,
    reinstall: flag('--reinstall', 'tell the script that it reinstalls an existing instance'),
  },
  examples: ['gantry create web1.yaml', 'gantry create web1.yaml --reinstall'],
  run: async (session, [file], options) => {
    const reinstall = options.reinstall === true;
    const instance = await loadInstanceFile(resolve(session.cwd, file), { signal: session.signal });
    await createInstance({ ...session.operation, instance, reinstall, forceInUse: options.forceInUse });
    session.output.result(
      { operation: 'create', instance: instance.name, os: instance.os, reinstall },
      `${instance.name} ${reinstall ? 'reinstalled' : 'installed'} with ${instance.os}`,
    );
  },
});

export default command;
