import { resolve } from 'node:path';
import { createInstance, loadInstanceFile } from '@gantry/core';
import type { Command } from 'commander';
import type { CommonOptions, Surroundings } from '../session.ts';
import { argument, newCommand, runs, withScripts } from './common.ts';

interface CreateOptions extends CommonOptions {
  readonly reinstall?: boolean;
}

export function addCreateCommand(program: Command, surroundings: Surroundings): void {
  const command = withScripts(
    newCommand(program, 'create <instance-file>', 'Install an instance with the create script of its OS definition.', [
      'gantry create web1.yaml',
      'gantry create web1.yaml --reinstall',
    ]),
  ).option('--reinstall', 'say to the script that an existing instance is installed anew');

  runs<CreateOptions>(command, surroundings, async (session, args, options) => {
    const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
    await createInstance({ ...session.operation, instance, reinstall: options.reinstall === true });
    session.output.result(
      { operation: 'create', instance: instance.name, os: instance.os, reinstall: options.reinstall === true },
      `${instance.name} ${options.reinstall === true ? 'installed anew' : 'installed'} with ${instance.os}`,
    );
  });
}
