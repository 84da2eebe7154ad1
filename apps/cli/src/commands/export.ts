import { CODEC_NAMES, DEFAULT_CODEC, describeLevels } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import {
  CREATE_STORE,
  PARALLEL,
  RATE,
  SCRIPTS,
  byteCount,
  choice,
  flag,
  text,
  texts,
  wholeNumber,
  wholeNumbers,
} from '../command-line/options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';

const command: CommandModule = defineCommand({
  description:
    'Export the disks of an instance into a store. Several stores get the same export from one reading of the disks; one that fails or cannot keep up gets a copy afterwards.',
  arguments: ['<instance>', '<store>', '[store...]'],
  options: {
    ...SCRIPTS,
    ...RATE,
    ...SNAPSHOTS,
    codec: choice('--codec <codec>', 'how dumps are compressed', CODEC_NAMES, DEFAULT_CODEC),
    level: wholeNumber('--level <n>', `level of the codec: ${describeLevels()}`),
    disk: wholeNumbers('--disk <n>', 'export only this disk'),
    ...PARALLEL,
    incremental: flag('--incremental', 'store only what earlier exports of the instance lack'),
    trackChanges: flag('--track-changes', 'with --incremental: read only what changed, where the kind of snapshot can say what (os: raw)'),
    base: text('--base <export>', 'with --incremental: INSTANCE@EXPORT-ID of another instance with much of the same data'),
    fullEvery: wholeNumber(
      '--full-every <n>',
      'with --incremental: make a full export once n exports follow each other, the full one counted',
    ),
    tag: texts('--tag <tag>', 'a word by which gantry prune --keep-tag keeps the export'),
    note: text('--note <text>', 'a remark, which gantry show shows'),
    withPrivate: flag('--with-private', 'include private OS parameters and secret native files in the export'),
    throughSource: flag('--through-source', 'have ganeti://MASTER send the disks (as it does for an instance on another host)'),
    listen: text('--listen <address>', 'where nodes of ganeti://MASTER connect to this host: ADDRESS or ADDRESS:PORT'),
    storeBuffer: byteCount('--store-buffer <size>', 'with several stores: how far one may fall behind the others (default 128M)', '16M'),
    ...CREATE_STORE,
    dryRun: flag('--dry-run', 'check everything that can be checked without a snapshot, show what would be exported, then stop'),
  },
  examples: [
    'gantry export web1.yaml /srv/exports',
    'gantry export web1.yaml /srv/exports --codec gzip --level 6',
    'gantry export web1.yaml /srv/exports --incremental',
    'gantry export web1.yaml /srv/exports --dry-run',
    'gantry export web1.yaml /srv/exports ssh://backup@vault/srv/exports',
    'gantry export clone7.yaml /srv/exports --incremental --base template@20261123T081500Z',
    'gantry export web1.yaml /srv/exports --disk 0 --snapshot none --json',
    'gantry export ganeti://master/web1.example.com /srv/exports --listen 192.0.2.7:7000',
  ],
  run: async (...call) => (await import('../runs/export.ts')).run(...call),
});

export default command;
