import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { PARALLEL, RATE, UNSEAL } from '../command-line/options.ts';
import { RECIPIENTS } from '../command-line/recipient-options.ts';
import { SIGN, SIGNERS } from '../command-line/signature-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Make a plain full export of one that shares frames with others. It gets a new id for the same time; the old export is removed when the new one is complete and checked. A sealed export takes an identity that reads it, and is encrypted anew.',
  arguments: ['<store>', '<export>'],
  options: { ...RATE, ...PARALLEL, ...UNSEAL, ...RECIPIENTS, ...SIGN, allowedSigners: SIGNERS.allowedSigners },
  examples: [
    'gantry consolidate /srv/exports web1.example.com@20261123T081500Z',
    'gantry consolidate /srv/exports web1.example.com@20261123T081500Z --sign /etc/ssh/ssh_host_ed25519_key --allowed-signers /etc/gantry/allowed-signers',
    'gantry consolidate /srv/exports web1.example.com@20261123T081500Z --identity key.txt --recipient age1…',
  ],
  run: async (...call) => (await import('../runs/consolidate.ts')).run(...call),
});

export default command;
