import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs } from './common.ts';

export function addStoreCommands(program: Command, surroundings: Surroundings): void {
  const store = program.command('store').description('Stores: check that one keeps its promises.');
  const command = newCommand(
    store,
    'check <store>',
    'Run the conformance suite against a live store, under prefixes of its own that it removes.',
    ['gantry store check /srv/exports'],
  );
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/store.ts')).checkStore);
}
