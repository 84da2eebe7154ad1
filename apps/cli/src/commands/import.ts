import { importInstance } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { CONSENT, flag, PARALLEL, RATE, requiredText, SCRIPTS, wholeNumbers } from '../command-line/options.ts';
import { consentOf, describeDryRun } from '../consent.ts';
import { formatBytes, formatDuration } from '../output/format.ts';

const command: CommandModule = defineCommand({
  description: 'Import an export into the disks of an instance. Their contents are overwritten.',
  arguments: ['<store>', '<export>'],
  options: {
    ...SCRIPTS,
    ...CONSENT,
    ...RATE,
    to: requiredText('--to <instance>', 'the instance whose disks are written'),
    disk: wholeNumbers('--disk <n>', 'import only this disk'),
    ...PARALLEL,
    checkFirst: flag('--check-first', 'read and check every dump before the first byte is written'),
    allowOtherOs: flag('--allow-other-os', 'allow another OS definition than the one that made the dumps'),
  },
  examples: [
    'gantry import /srv/exports web1.example.com --to web2.yaml',
    'gantry import /srv/exports web1.example.com@20261123T081500Z --to web2.yaml --disk 0',
    'gantry import /srv/ganeti/export web1.example.com --to web1.yaml',
  ],
  run: async (session, [address, reference], options) => {
    const started = performance.now();
    const guard = await session.describe(options.to);
    const { instance } = guard;
    await using store = await session.open(address, 'read');
    const result = await importInstance({
      ...session.operation,
      ...consentOf(session, options),
      instance,
      store,
      export: reference,
      disks: options.disk,
      parallel: options.parallel,
      checkFirst: options.checkFirst,
      allowOtherOs: options.allowOtherOs,
      guard,
      forceInUse: options.forceInUse,
    });
    const took = formatDuration(performance.now() - started);
    const done = `imported ${result.reference} into ${instance.name}: ${formatBytes(result.plainBytes)} in ${took}`;
    session.output.result({ operation: 'import', ...result }, result.dryRun ? describeDryRun(session, result.plan) : done);
  },
});

export default command;
