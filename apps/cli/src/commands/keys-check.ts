import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { RATE, UNSEAL } from '../command-line/options.ts';

const command: CommandModule = defineCommand({
  description:
    'Show who can read the exports of a store, as their manifests say; with an identity, which of them it opens, by the headers of their files. The exit status is 7 if it does not open all that are sealed.',
  arguments: ['<store>', '[export]'],
  options: { ...RATE, ...UNSEAL },
  examples: [
    'gantry keys check /srv/exports',
    'gantry keys check /srv/exports web1.example.com --identity key.txt',
    'gantry keys check /srv/exports web1.example.com@20261123T081500Z --identity key.txt',
  ],
  run: async (...call) => (await import('../runs/keys-check.ts')).run(...call),
});

export default command;
