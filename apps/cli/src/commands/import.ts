import { resolve } from 'node:path';
import { importInstance, loadInstanceFile } from '@gantry/core';
import type { Command } from 'commander';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, collectDisks, newCommand, runs, wholeNumber, withRate, withScripts } from './common.ts';

interface ImportOptions extends CommonOptions {
  readonly to: string;
  readonly disk?: readonly number[];
  readonly parallel?: number;
  readonly allowOtherOs?: boolean;
  readonly checkFirst?: boolean;
}

export function addImportCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    withScripts(
      newCommand(program, 'import <store> <export>', 'Import an export into the disks of an instance. What they hold is overwritten.', [
        'gantry import /srv/exports web1.example.com --to web2.yaml',
        'gantry import /srv/exports web1.example.com@20261123T081500Z --to web2.yaml --disk 0',
        'gantry import /srv/ganeti/export web1.example.com --to web1.yaml',
      ]),
    ),
  )
    .requiredOption('--to <instance-file>', 'the instance whose disks are written')
    .option('--disk <n>', 'import this disk alone; may repeat', collectDisks)
    .option('--parallel <n>', 'how many disks at once', wholeNumber(1))
    .option('--check-first', 'read and check every dump once before the first byte is written')
    .option('--allow-other-os', 'hand the dumps to another OS definition than the one that made them');

  runs<ImportOptions>(command, surroundings, async (session, args, options) => {
    const started = performance.now();
    const instance = await loadInstanceFile(resolve(session.cwd, options.to), { signal: session.signal });
    await using store = await session.open(argument(args, 0));
    const result = await importInstance({
      ...session.operation,
      instance,
      store,
      export: argument(args, 1),
      ...(options.disk === undefined ? {} : { disks: options.disk }),
      ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
      checkFirst: options.checkFirst === true,
      allowOtherOs: options.allowOtherOs === true,
    });
    const text = `${result.reference} imported into ${instance.name}: ${formatBytes(result.plainBytes)} in ${formatDuration(performance.now() - started)}`;
    session.output.result({ operation: 'import', ...result }, text);
  });
}
