import { removeExport } from '@gantry/core';
import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, newCommand, runs } from './common.ts';

export function addRemoveCommand(program: Command, surroundings: Surroundings): void {
  const command = newCommand(program, 'remove <store> <export>', 'Remove one export for good. The id must be given.', [
    'gantry remove /srv/exports web1.example.com@20261123T081500Z',
  ]);
  runs<CommonOptions>(command, surroundings, async (session, args) => {
    const reference = argument(args, 1);
    await using store = await session.open(argument(args, 0));
    await removeExport(store, reference, { signal: session.signal });
    session.output.result({ operation: 'remove', store: store.address, reference }, `${reference} removed`);
  });
}
