import type { ExportOptions } from '../actions/export.ts';
import type { Command } from 'commander';
import { Option } from 'commander';
import type { Surroundings } from '../session.ts';
import { collectDisks, newCommand, runs, wholeNumber, withRate, withScripts, withSnapshots } from './common.ts';

export function addExportCommand(program: Command, surroundings: Surroundings): void {
  const command = withSnapshots(
    withRate(
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
    .option('--with-private', 'write private OS parameters into the export too')
    .option('--create-store', 'make a new store where there is none yet (or GANTRY_CREATE_STORE=1)');

  runs<ExportOptions>(command, surroundings, async () => (await import('../actions/export.ts')).exportDisks);
}
