import { cleanUp } from '@gantry/core';
import type { CommonOptions, Session } from '../session.ts';

export interface CleanOptions extends CommonOptions {
  readonly dryRun?: boolean;
  readonly export?: readonly string[];
}

export async function clean(session: Session, args: readonly string[], options: CleanOptions): Promise<void> {
  const [address] = args;
  await using store = address === undefined ? undefined : await session.open(address);
  const { signal, onEvent, stateDirectory } = session.operation;
  const things = await cleanUp({
    signal,
    onEvent,
    stateDirectory,
    store,
    dryRun: options.dryRun,
    exports: options.export,
  });
  const lines = things.map(({ what, outcome }) => `${outcome}: ${what}`);
  session.output.result({ operation: 'clean', things }, lines.length === 0 ? 'nothing was left' : lines.join('\n'));
}
