import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { CONSENT, DEFINE, PARALLEL, RATE, SCRIPTS, UNSEAL, flag, text, texts } from '../command-line/options.ts';
import { SIGNERS } from '../command-line/signature-options.ts';
import { TARGET } from '../command-line/target-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Import an export into the disks of an instance, which are overwritten, into disks that it creates, or into a new instance of Ganeti.',
  arguments: ['<store>', '<export>'],
  options: {
    ...SCRIPTS,
    ...CONSENT,
    ...RATE,
    to: text(
      '--to <instance>',
      'the instance whose disks are written; one that ganeti://MASTER does not have is made there; without it, the exported one',
    ),
    ...TARGET,
    ...PARALLEL,
    checkFirst: flag('--check-first', 'read and check every dump before the first byte is written'),
    resume: flag('--resume', 'go on with an import that was cut off: compare the disks, and write only what differs'),
    ...DEFINE,
    ...UNSEAL,
    allowOtherOs: flag('--allow-other-os', 'allow another OS definition than the one that made the dumps'),
    os: text('--os <os>', 'the OS definition (os or os+variant), in the place of the one that the instance has'),
    diskTemplate: text('--disk-template <template>', 'of a new instance: how its disks are stored, such as plain or drbd'),
    node: texts('--node <node>', 'of a new instance: its primary node, then the secondary one'),
    ...SIGNERS,
  },
  examples: [
    'gantry import /srv/exports web1.example.com --to web2.yaml',
    'gantry import /srv/exports web1.example.com@20261123T081500Z --to web2.yaml --disk 0',
    'gantry import /srv/exports web1.example.com --to web2.yaml --resume',
    'gantry import /srv/exports web1.example.com --to web2.yaml --identity key.txt',
    'gantry import /srv/exports web1.example.com --to web1.yaml --define libvirt: --start',
    'gantry import /srv/exports web1.example.com --create-disks',
    'gantry import /srv/exports web1.example.com --name web2.example.com --disk 0=/dev/vg/web2 --create-disks --nic 0:mac=generate',
    'gantry import /srv/ganeti/export web1.example.com --to web1.yaml',
    'gantry import /srv/exports web1.example.com --to ganeti://master/web9.example.com --disk-template drbd',
  ],
  run: async (...call) => (await import('../runs/import.ts')).run(...call),
});

export default command;
