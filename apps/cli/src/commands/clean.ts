import type { CleanOptions } from '../actions/clean.ts';
import type { Command } from 'commander';
import type { Surroundings } from '../session.ts';
import { collect, newCommand, runs, withState } from './common.ts';

export function addCleanCommand(program: Command, surroundings: Surroundings): void {
  const command = withState(
    newCommand(program, 'clean [store]', 'Name and clear what killed runs left: scripts, snapshots, unfinished exports.', [
      'gantry clean --dry-run',
      'gantry clean /srv/exports',
      'gantry clean /srv/exports --export web1.example.com@20261123T081500Z',
    ]),
  )
    .option('--dry-run', 'name it, and leave it')
    .option('--export <export>', 'remove this unfinished export although another host may be at work on it; may repeat', collect);
  runs<CleanOptions>(command, surroundings, async () => (await import('../actions/clean.ts')).clean);
}
