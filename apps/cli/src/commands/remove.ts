import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs } from './common.ts';

export function addRemoveCommand(program: Command, surroundings: Surroundings): void {
  const command = newCommand(program, 'remove <store> <export>', 'Remove one export for good. The id must be given.', [
    'gantry remove /srv/exports web1.example.com@20261123T081500Z',
  ]);
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/remove.ts')).remove);
}
