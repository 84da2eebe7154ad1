import { verifyExport } from '@gantry/core';
import type { Command } from 'commander';
import { formatBytes } from '../output/format.ts';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, newCommand, runs, wholeNumber, withRate } from './common.ts';

interface VerifyOptions extends CommonOptions {
  readonly parallel?: number;
}

export function addVerifyCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    newCommand(program, 'verify <store> <export>', 'Read all of an export and check every frame, digest and file.', [
      'gantry verify /srv/exports web1.example.com',
      'gantry verify /srv/exports web1.example.com@20261123T081500Z',
    ]).option('--parallel <n>', 'how many disks at once', wholeNumber(1)),
  );
  runs<VerifyOptions>(command, surroundings, async (session, args, options) => {
    await using store = await session.open(argument(args, 0));
    const { signal, onEvent } = session.operation;
    const result = await verifyExport({ store, export: argument(args, 1), signal, onEvent, parallel: options.parallel });
    const text = result.checksums ? 'every frame and digest is right' : 'readable; it carries no checksums';
    session.output.result({ operation: 'verify', ...result }, `${result.reference}: ${text} (${formatBytes(result.plainBytes)})`);
  });
}
