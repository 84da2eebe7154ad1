import { resolve } from 'node:path';
import { CODEC_NAMES, DEFAULT_CODEC, describeLevels, exportInstance, readSnapshotConfig } from '@gantry/core';
import { wantsNewStore } from '../create-store.ts';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { choice, flag, PARALLEL, RATE, SCRIPTS, wholeNumber, wholeNumbers } from '../command-line/options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';
import { formatBytes, formatDuration } from '../output/format.ts';

const command: CommandModule = defineCommand({
  arguments: ['<instance>', '<store>'],
  options: {
    ...SCRIPTS,
    ...RATE,
    ...SNAPSHOTS,
    codec: choice('--codec <codec>', 'how dumps are compressed', CODEC_NAMES, DEFAULT_CODEC),
    level: wholeNumber('--level <n>', `level of the codec: ${describeLevels()}`),
    disk: wholeNumbers('--disk <n>', 'export only this disk'),
    ...PARALLEL,
    withPrivate: flag('--with-private', 'include private OS parameters in the export'),
    createStore: flag('--create-store', 'create the store if there is none yet (or GANTRY_CREATE_STORE=1)'),
  },
  examples: [
    'gantry export web1.yaml /srv/exports',
    'gantry export web1.yaml /srv/exports --codec gzip --level 6',
    'gantry export web1.yaml /srv/exports --disk 0 --snapshot none --json',
  ],
  run: async (session, [named, address], options) => {
    const started = performance.now();
    const createStore = options.createStore === true || wantsNewStore(session.env);
    const { instance } = await session.describe(named);
    const snapshotConfig =
      options.snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(session.cwd, options.snapshotConfig));
    await using store = await session.open(address, 'write');
    const result = await exportInstance({
      ...session.operation,
      instance,
      store,
      codec: options.codec,
      level: options.level,
      snapshot: options.snapshot,
      snapshotConfig,
      snapshotSize: options.snapshotSize,
      disks: options.disk,
      parallel: options.parallel,
      includePrivate: options.withPrivate,
      createStore,
    });
    const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} stored`;
    const took = formatDuration(performance.now() - started);
    session.output.event({ type: 'stage', operation: 'export', message: `exported ${amount} in ${took}` });
    session.output.result({ operation: 'export', ...result }, result.reference);
  },
});

export default command;
