import { cleanUp } from '@gantry/core';
import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { collect, newCommand, runs, withState } from './common.ts';

interface CleanOptions extends CommonOptions {
  readonly dryRun?: boolean;
  readonly export?: readonly string[];
}

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
  runs<CleanOptions>(command, surroundings, async (session, args, options) => {
    const [address] = args;
    await using store = address === undefined ? undefined : await session.open(address);
    const { signal, onEvent, stateDirectory } = session.operation;
    const things = await cleanUp({
      signal,
      onEvent,
      stateDirectory,
      store,
      dryRun: options.dryRun,
      exports: options.export,
    });
    const lines = things.map(({ what, outcome }) => `${outcome}: ${what}`);
    session.output.result({ operation: 'clean', things }, lines.length === 0 ? 'nothing was left' : lines.join('\n'));
  });
}
