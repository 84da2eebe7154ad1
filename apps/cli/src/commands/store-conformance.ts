import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';

const command: CommandModule = defineCommand({
  description: 'Run the conformance suite against a live store, under prefixes of its own, which it removes afterwards.',
  arguments: ['<store>'],
  options: {},
  examples: ['gantry store conformance /srv/exports'],
  run: async (session, args) => (await import('../runs/store-conformance.ts')).run(session, args),
});

export default command;
