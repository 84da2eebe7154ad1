import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { EXPORT } from '../command-line/export-options.ts';
import {
  CREATE_STORE,
  IDENTITY,
  PARALLEL,
  POLICY,
  RATE,
  SCRIPTS,
  byteCount,
  flag,
  text,
  texts,
  wholeNumbers,
} from '../command-line/options.ts';
import { SIGN } from '../command-line/signature-options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Export the disks of an instance into a store. Several stores get the same export from one reading of the disks; one that fails or cannot keep up gets a copy afterwards.',
  arguments: ['<instance>', '<store>', '[store...]'],
  options: {
    ...SCRIPTS,
    ...RATE,
    ...SNAPSHOTS,
    ...EXPORT,
    passphrase: flag('--passphrase', 'seal the export: encrypt it with a passphrase, which is asked for on the terminal'),
    disk: wholeNumbers('--disk <n>', 'export only this disk'),
    ...PARALLEL,
    base: text('--base <export>', 'with --incremental: INSTANCE@EXPORT-ID of another instance with much of the same data'),
    tag: texts('--tag <tag>', 'a word by which gantry prune --keep-tag keeps the export'),
    note: text('--note <text>', 'a remark, which gantry show shows'),
    ...SIGN,
    throughSource: flag('--through-source', 'have ganeti://MASTER send the disks (as it does for an instance on another host)'),
    listen: text('--listen <address>', 'where nodes of ganeti://MASTER connect to this host: ADDRESS or ADDRESS:PORT'),
    storeBuffer: byteCount('--store-buffer <size>', 'with several stores: how far one may fall behind the others (default 128M)', '16M'),
    ...CREATE_STORE,
    dryRun: flag('--dry-run', 'check everything that can be checked without a snapshot, show what would be exported, then stop'),
    ...POLICY,
    ...IDENTITY,
  },
  examples: [
    'gantry export web1.yaml /srv/exports',
    'gantry export cluster:web1.example.com nightly --policy web',
    'gantry export web1.yaml /srv/exports --codec gzip --level 6',
    'gantry export web1.yaml /srv/exports --incremental',
    'gantry export web1.yaml /srv/exports --sign /etc/ssh/ssh_host_ed25519_key',
    'gantry export web1.yaml /srv/exports --recipients-file /etc/gantry/recipients.txt --incremental',
    'gantry export web1.yaml /srv/exports --dry-run',
    'gantry export web1.yaml /srv/exports ssh://backup@vault/srv/exports',
    'gantry export clone7.yaml /srv/exports --incremental --base template@20261123T081500Z',
    'gantry export web1.yaml /srv/exports --disk 0 --snapshot none --json',
    'gantry export ganeti://master/web1.example.com /srv/exports --listen 192.0.2.7:7000',
  ],
  run: async (...call) => (await import('../runs/export.ts')).run(...call),
});

export default command;
