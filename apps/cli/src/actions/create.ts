import { resolve } from 'node:path';
import { createInstance, loadInstanceFile } from '@gantry/core';
import type { CommonOptions, Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export interface CreateOptions extends CommonOptions {
  readonly reinstall?: boolean;
}

export async function create(session: Session, args: readonly string[], options: CreateOptions): Promise<void> {
  const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
  await createInstance({ ...session.operation, instance, reinstall: options.reinstall === true, forceInUse: options.forceInUse === true });
  session.output.result(
    { operation: 'create', instance: instance.name, os: instance.os, reinstall: options.reinstall === true },
    `${instance.name} ${options.reinstall === true ? 'installed anew' : 'installed'} with ${instance.os}`,
  );
}
