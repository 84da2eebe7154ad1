import type { CreateOptions } from '../actions/create.ts';
import type { Command } from 'commander';
import type { Surroundings } from '../session.ts';
import { newCommand, runs, withScripts, withTargets } from './common.ts';

export function addCreateCommand(program: Command, surroundings: Surroundings): void {
  const command = withTargets(
    withScripts(
      newCommand(program, 'create <instance-file>', 'Install an instance with the create script of its OS definition.', [
        'gantry create web1.yaml',
        'gantry create web1.yaml --reinstall',
      ]),
    ),
  ).option('--reinstall', 'say to the script that an existing instance is installed anew');

  runs<CreateOptions>(command, surroundings, async () => (await import('../actions/create.ts')).create);
}
