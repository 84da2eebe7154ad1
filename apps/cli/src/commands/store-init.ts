import { initializeStore } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description: 'Create a store, or mark a directory that already has exports as one. Exports are only written into a store.',
  arguments: ['<store>'],
  options: {},
  examples: ['gantry store init /srv/exports', "gantry store init 's3://backups/exports?region=eu-central-1'"],
  run: async (session, [address]) => {
    await using store = await session.open(address, 'write');
    const { id, created } = await initializeStore(store, { signal: session.signal });
    const text = created ? `created the store ${store.address}` : `${store.address} is already a store`;
    session.output.result({ operation: 'store-init', store: store.address, storeId: id, created }, text);
  },
});

export default command;
