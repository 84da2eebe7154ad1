import { cleanUp, GantryError } from '@gantry/core';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { STATE } from '../command-line/options.ts';

/** Runs `gantry clean`. */
export async function run(
  session: Session,
  [address]: readonly [string | undefined],
  {
    dryRun,
    export: exports,
  }: OptionValues<typeof STATE> & { readonly dryRun: true | undefined; readonly export: readonly string[] | undefined },
): Promise<void> {
  if (address === undefined && exports !== undefined) {
    throw new GantryError('USAGE', {
      message: `cannot remove ${exports.join(', ')}: no store is given`,
      hint: `Name the store, too: gantry clean STORE --export ${exports[0] ?? 'EXPORT'}`,
    });
  }
  await using store = address === undefined ? undefined : await session.open(address, 'read');
  const { signal, onEvent, stateDirectory } = session.operation;
  const things = await cleanUp({ signal, onEvent, stateDirectory, store, dryRun, exports });
  const lines = things.map(({ what, outcome }) => `${outcome}: ${what}`);
  session.output.result({ operation: 'clean', things }, lines.length === 0 ? 'nothing to clean' : lines);
}
