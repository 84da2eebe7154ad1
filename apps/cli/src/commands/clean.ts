import { cleanUp } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { flag, STATE, texts } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  arguments: ['[store]'],
  options: {
    ...STATE,
    dryRun: flag('--dry-run', 'only show what would be removed'),
    export: texts('--export <export>', 'remove this unfinished export even if another host may still be writing it'),
  },
  examples: ['gantry clean --dry-run', 'gantry clean /srv/exports', 'gantry clean /srv/exports --export web1.example.com@20261123T081500Z'],
  run: async (session, [address], { dryRun, export: exports }) => {
    await using store = address === undefined ? undefined : await session.open(address, 'read');
    const { signal, onEvent, stateDirectory } = session.operation;
    const things = await cleanUp({ signal, onEvent, stateDirectory, store, dryRun, exports });
    const lines = things.map(({ what, outcome }) => `${outcome}: ${what}`);
    session.output.result({ operation: 'clean', things }, lines.length === 0 ? 'nothing to clean' : lines);
  },
});

export default command;
