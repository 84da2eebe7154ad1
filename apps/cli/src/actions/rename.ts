import { resolve } from 'node:path';
import { loadInstanceFile, renameInstance } from '@gantry/core';
import type { CommonOptions, Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export async function rename(session: Session, args: readonly string[], options: CommonOptions): Promise<void> {
  const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
  const newName = argument(args, 1);
  await renameInstance({ ...session.operation, instance, newName, forceInUse: options.forceInUse === true });
  session.output.result(
    { operation: 'rename', instance: newName, oldName: instance.name },
    `${instance.name} renamed to ${newName}; write the new name into the instance file too`,
  );
}
