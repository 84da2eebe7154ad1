import type { ImportOptions } from '../actions/import.ts';
import type { Command } from 'commander';
import type { Surroundings } from '../session.ts';
import { collectDisks, newCommand, runs, wholeNumber, withRate, withScripts, withTargets } from './common.ts';

export function addImportCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    withTargets(
      withScripts(
        newCommand(program, 'import <store> <export>', 'Import an export into the disks of an instance. What they hold is overwritten.', [
          'gantry import /srv/exports web1.example.com --to web2.yaml',
          'gantry import /srv/exports web1.example.com@20261123T081500Z --to web2.yaml --disk 0',
          'gantry import /srv/ganeti/export web1.example.com --to web1.yaml',
        ]),
      ),
    ),
  )
    .requiredOption('--to <instance-file>', 'the instance whose disks are written')
    .option('--disk <n>', 'import this disk alone; may repeat', collectDisks)
    .option('--parallel <n>', 'how many disks at once', wholeNumber(1))
    .option('--check-first', 'read and check every dump once before the first byte is written')
    .option('--allow-other-os', 'hand the dumps to another OS definition than the one that made them');

  runs<ImportOptions>(command, surroundings, async () => (await import('../actions/import.ts')).importDisks);
}
