import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs, withScripts, withTargets } from './common.ts';

export function addRenameCommand(program: Command, surroundings: Surroundings): void {
  const command = withTargets(
    withScripts(
      newCommand(
        program,
        'rename <instance-file> <new-name>',
        'Make the installed system know its new name, with the rename script. The instance file stays as it is.',
        ['gantry rename web1.yaml web2.example.com'],
      ),
    ),
  );
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/rename.ts')).rename);
}
