import { GantryError } from '@gantry/core';
import { isShell, scriptFor, SHELLS } from '../completion/scripts.ts';
import type { Session } from '../session.ts';

/** Runs `gantry completion`. @throws GantryError `USAGE` */
export async function run({ output }: Session, [shell]: readonly [string]): Promise<void> {
  if (!isShell(shell)) {
    throw new GantryError('USAGE', {
      message: `there are no completions for ${JSON.stringify(shell)}`,
      hint: `There are for ${SHELLS.join(', ')}.`,
    });
  }
  const script = await scriptFor(shell);
  output.bytes({ operation: 'completion', shell, script }, Buffer.from(script));
}
