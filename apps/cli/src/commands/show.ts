import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs } from './common.ts';

export function addShowCommand(program: Command, surroundings: Surroundings): void {
  const command = newCommand(program, 'show <store> <export>', 'Show one export: the instance, its disks and their dumps.', [
    'gantry show /srv/exports web1.example.com',
    'gantry show /srv/exports web1.example.com@20261123T081500Z --json',
  ]);
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/show.ts')).show);
}
