import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { SIGNERS } from '../command-line/signature-options.ts';
import { CREATE_STORE, PARALLEL, RATE, texts } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Copy an export from one store to another, under its id. Stored bytes stay as they are, and are compared with their digests on the way. An export that is there already is not copied again.',
  arguments: ['<source>', '<export>', '<target>'],
  options: {
    ...RATE,
    ...PARALLEL,
    ...CREATE_STORE,
    packsOf: texts('--packs-of <instance>', 'also bring packs of this other instance: of a sealed export that was made with --base'),
    ...SIGNERS,
  },
  examples: [
    'gantry copy /srv/exports web1.example.com ssh://backup@vault/srv/exports',
    "gantry copy /srv/exports web1.example.com@20261123T081500Z 's3://backups/exports?region=eu-central-1'",
  ],
  run: async (...call) => (await import('../runs/copy.ts')).run(...call),
});

export default command;
