import { createInstance } from '@gantry/core';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SCRIPTS, TARGETS } from '../command-line/options.ts';

/** Runs `gantry create`. */
export async function run(
  session: Session,
  [named]: readonly [string],
  options: OptionValues<typeof SCRIPTS & typeof TARGETS> & { readonly reinstall: true | undefined },
): Promise<void> {
  const reinstall = options.reinstall === true;
  const guard = await session.describe(named);
  const { instance } = guard;
  await createInstance({ ...session.operation, instance, reinstall, guard, forceInUse: options.forceInUse });
  session.output.result(
    { operation: 'create', instance: instance.name, os: instance.os, reinstall },
    `${instance.name} ${reinstall ? 'reinstalled' : 'installed'} with ${instance.os}`,
  );
}
