import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs } from './common.ts';

export function addListCommand(program: Command, surroundings: Surroundings): void {
  const command = newCommand(program, 'list <store> [instance]', 'List the exports in a store; unfinished and damaged ones are marked.', [
    'gantry list /srv/exports',
    'gantry list /srv/exports web1.example.com --json',
  ]);
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/list.ts')).listStore);
}
