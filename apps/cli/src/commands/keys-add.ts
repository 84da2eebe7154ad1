import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { IDENTITY, RATE, texts } from '../command-line/options.ts';
import { SIGNERS } from '../command-line/signature-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Let more recipients read sealed exports: a small file with the keys of the export is put beside each. Nothing is written anew; credentials that may only add objects are enough.',
  arguments: ['<store>', '[export...]'],
  options: {
    recipient: texts('--recipient <recipient>', 'who can read them, too: a recipient of age (age1…)'),
    recipientsFile: texts('--recipients-file <file>', 'recipients in a file, one in each line, as age -R takes it'),
    ...RATE,
    ...IDENTITY,
    ...SIGNERS,
  },
  examples: ['gantry keys add /srv/exports web1.example.com@20261123T081500Z --recipient age1… --identity key.txt'],
  run: async (...call) => (await import('../runs/keys-add.ts')).run(...call),
});

export default command;
