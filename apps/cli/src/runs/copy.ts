import { copyFromStore } from '@gantry/core';
import { wantsNewStore } from '../create-store.ts';
import { formatBytes } from '../output/format.ts';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CREATE_STORE, PARALLEL, RATE } from '../command-line/options.ts';

/** Runs `gantry copy`. */
export async function run(
  session: Session,
  [from, reference, to]: readonly [string, string, string],
  options: OptionValues<typeof RATE & typeof PARALLEL & typeof CREATE_STORE> & { readonly packsOf: readonly string[] | undefined },
): Promise<void> {
  const createStore = options.createStore === true || wantsNewStore(session.env);
  const parallel = await parallelOf(session, options, to);
  await using source = await session.open(from, 'read');
  await using target = await session.open(to, 'write');
  const { signal, onEvent } = session.operation;
  const result = await copyFromStore({
    source,
    export: reference,
    target,
    packsOf: options.packsOf,
    signal,
    onEvent,
    parallel,
    createStore,
  });
  const message = result.outcome === 'copied' ? `copied ${formatBytes(result.sentBytes)}` : `${target.address} has it already`;
  session.output.event({ type: 'stage', operation: 'copy', message });
  session.output.result({ operation: 'copy', ...result }, result.reference);
}
