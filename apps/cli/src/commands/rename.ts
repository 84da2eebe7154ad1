import { resolve } from 'node:path';
import { loadInstanceFile, renameInstance } from '@gantry/core';
import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, newCommand, runs, withScripts } from './common.ts';

export function addRenameCommand(program: Command, surroundings: Surroundings): void {
  const command = withScripts(
    newCommand(
      program,
      'rename <instance-file> <new-name>',
      'Make the installed system know its new name, with the rename script. The instance file stays as it is.',
      ['gantry rename web1.yaml web2.example.com'],
    ),
  );
  runs<CommonOptions>(command, surroundings, async (session, args) => {
    const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
    const newName = argument(args, 1);
    await renameInstance({ ...session.operation, instance, newName });
    session.output.result(
      { operation: 'rename', instance: newName, oldName: instance.name },
      `${instance.name} renamed to ${newName}; write the new name into the instance file too`,
    );
  });
}
