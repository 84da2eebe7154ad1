import { renameInstance } from '@gantry/core';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { SCRIPTS, TARGETS } from '../command-line/options.ts';

/** Runs `gantry rename`. */
export async function run(
  session: Session,
  [named, newName]: readonly [string, string],
  { forceInUse }: OptionValues<typeof SCRIPTS & typeof TARGETS>,
): Promise<void> {
  const guard = await session.describe(named);
  const { instance } = guard;
  await renameInstance({ ...session.operation, instance, newName, guard, forceInUse });
  session.output.result(
    { operation: 'rename', instance: newName, oldName: instance.name },
    `renamed ${instance.name} to ${newName}; now change the name in the instance file too`,
  );
}
