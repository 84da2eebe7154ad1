import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { newCommand, runs } from './common.ts';

export function addStoreCommands(program: Command, surroundings: Surroundings): void {
  const store = program.command('store').description('Stores: make a new one, check that one keeps its promises.');
  const init = newCommand(store, 'init <store>', 'Make a new store, or mark one that has exports already. Exports go into a store alone.', [
    'gantry store init /srv/exports',
    "gantry store init 's3://backups/exports?region=eu-central-1'",
  ]);
  runs<CommonOptions>(init, surroundings, async () => (await import('../actions/store-init.ts')).initStore);
  const command = newCommand(
    store,
    'check <store>',
    'Run the conformance suite against a live store, under prefixes of its own that it removes.',
    ['gantry store check /srv/exports'],
  );
  runs<CommonOptions>(command, surroundings, async () => (await import('../actions/store.ts')).checkStore);
}
