import { resolve } from 'node:path';
import { exportInstance, loadInstanceFile, readSnapshotConfig } from '@gantry/core';
import type { Codec, SnapshotMode } from '@gantry/core';
import type { Command } from 'commander';
import { Option } from 'commander';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, collectDisks, newCommand, runs, wholeNumber, withRate, withScripts, withSnapshots } from './common.ts';

interface ExportOptions extends CommonOptions {
  readonly codec: Codec;
  readonly level?: number;
  readonly snapshot: SnapshotMode;
  readonly snapshotConfig?: string;
  readonly disk?: readonly number[];
  readonly parallel?: number;
  readonly withPrivate?: boolean;
}

export function addExportCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    withSnapshots(
      withScripts(
        newCommand(program, 'export <instance-file> <store>', 'Export the disks of an instance into a store.', [
          'gantry export web1.yaml /srv/exports',
          'gantry export web1.yaml /srv/exports --codec gzip --level 6',
          'gantry export web1.yaml /srv/exports --disk 0 --snapshot none --json',
        ]),
      ),
    ),
  )
    .addOption(new Option('--codec <codec>', 'how dumps are compressed').choices(['zstd', 'gzip', 'none']).default('zstd'))
    .option('--level <n>', 'level of the codec: zstd 1-19 (default 3), gzip 1-9', wholeNumber(1))
    .option('--disk <n>', 'export this disk alone; may repeat', collectDisks)
    .option('--parallel <n>', 'how many disks at once', wholeNumber(1))
    .option('--with-private', 'write private OS parameters into the export too');

  runs<ExportOptions>(command, surroundings, async (session, args, options) => {
    const started = performance.now();
    const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
    await using store = await session.open(argument(args, 1));
    const result = await exportInstance({
      ...session.operation,
      instance,
      store,
      codec: options.codec,
      snapshot: options.snapshot,
      ...(options.snapshotConfig === undefined
        ? {}
        : { snapshotConfig: await readSnapshotConfig(resolve(session.cwd, options.snapshotConfig)) }),
      ...(options.level === undefined ? {} : { level: options.level }),
      ...(options.disk === undefined ? {} : { disks: options.disk }),
      ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
      includePrivate: options.withPrivate === true,
    });
    const plain = formatBytes(result.plainBytes);
    session.output.event({
      type: 'stage',
      operation: 'export',
      message: `exported ${plain}, ${formatBytes(result.storedBytes)} stored, in ${formatDuration(performance.now() - started)}`,
    });
    session.output.result({ operation: 'export', ...result }, result.reference);
  });
}
