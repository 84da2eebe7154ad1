import type { VerifyOptions } from '../actions/verify.ts';
import type { Command } from 'commander';
import type { Surroundings } from '../session.ts';
import { newCommand, runs, wholeNumber, withRate } from './common.ts';

export function addVerifyCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    newCommand(program, 'verify <store> <export>', 'Read all of an export and check every frame, digest and file.', [
      'gantry verify /srv/exports web1.example.com',
      'gantry verify /srv/exports web1.example.com@20261123T081500Z',
    ]).option('--parallel <n>', 'how many disks at once', wholeNumber(1)),
  );
  runs<VerifyOptions>(command, surroundings, async () => (await import('../actions/verify.ts')).verify);
}
