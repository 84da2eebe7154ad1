import { cleanUp } from '@gantry/core';
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
  await using store = address === undefined ? undefined : await session.open(address, 'read');
  const { signal, onEvent, stateDirectory } = session.operation;
  const things = await cleanUp({ signal, onEvent, stateDirectory, store, dryRun, exports });
  const lines = things.map(({ what, outcome }) => `${outcome}: ${what}`);
  session.output.result({ operation: 'clean', things }, lines.length === 0 ? 'nothing to clean' : lines);
}
