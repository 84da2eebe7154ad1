import { verifyExport } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { PARALLEL, RATE } from '../command-line/options.ts';
import { formatBytes } from '../output/format.ts';

const command: CommandModule = defineCommand({
  arguments: ['<store>', '<export>'],
  options: { ...RATE, ...PARALLEL },
  examples: ['gantry verify /srv/exports web1.example.com', 'gantry verify /srv/exports web1.example.com@20261123T081500Z'],
  run: async (session, [address, reference], { parallel }) => {
    await using store = await session.open(address, 'read');
    const { signal, onEvent } = session.operation;
    const result = await verifyExport({ store, export: reference, signal, onEvent, parallel });
    const text = result.checksums ? 'every frame and digest is correct' : 'readable, but it has no checksums';
    session.output.result({ operation: 'verify', ...result }, `${result.reference}: ${text} (${formatBytes(result.plainBytes)})`);
  },
});

export default command;
