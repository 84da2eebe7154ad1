import { initializeStore } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description: 'Make a new store, or mark one that has exports already. Exports go into a store alone.',
  arguments: ['<store>'],
  options: {},
  examples: ['gantry store init /srv/exports', "gantry store init 's3://backups/exports?region=eu-central-1'"],
  run: async (session, [address]) => {
    await using store = await session.open(address, 'write');
    const { id, created } = await initializeStore(store, { signal: session.signal });
    const text = created ? `${store.address} is a store now` : `${store.address} is a store already`;
    session.output.result({ operation: 'store-init', store: store.address, storeId: id, created }, text);
  },
});

export default command;
