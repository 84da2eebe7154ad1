import { assertPacksOf, copyFromStore } from '@gantry/core';
import { formatBytes } from '@gantry/programs';
import { wantsNewStore } from '../create-store.ts';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import { copySignersOf } from './signers.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CREATE_STORE, PARALLEL, RATE } from '../command-line/options.ts';
import type { SIGNERS } from '../command-line/signature-options.ts';

/** Runs `gantry copy`. */
export async function run(
  session: Session,
  [from, reference, to]: readonly [string, string, string],
  options: OptionValues<typeof RATE & typeof PARALLEL & typeof CREATE_STORE & typeof SIGNERS> & {
    readonly packsOf: readonly string[] | undefined;
  },
): Promise<void> {
  assertPacksOf(options.packsOf ?? []);
  const createStore = options.createStore === true || wantsNewStore(session.env);
  const parallel = await parallelOf(session, options, to);
  const signers = await copySignersOf(session, options, { from, to }, 'write');
  await using source = await session.open(from, 'read');
  await using target = await session.open(to, 'write');
  const { signal, onEvent } = session.operation;
  const result = await copyFromStore({
    ...signers,
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
