import { resolve } from 'node:path';
import type { ConsolidateResult } from '@gantry/core';
import { consolidateExport } from '@gantry/core';
import type { OptionValues } from '../command-line/command.ts';
import type { PARALLEL, RATE, UNSEAL } from '../command-line/options.ts';
import type { SIGN, SIGNERS } from '../command-line/signature-options.ts';
import { formatBytes } from '../output/format.ts';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import { signersOf } from './signers.ts';

/** Runs `gantry consolidate`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  options: OptionValues<typeof RATE & typeof PARALLEL & typeof UNSEAL & typeof SIGN & Pick<typeof SIGNERS, 'allowedSigners'>>,
): Promise<void> {
  const parallel = await parallelOf(session, options, address);
  await using store = await session.openSealed(address, 'write', options);
  const { signal, onEvent } = session.operation;
  const signers = await signersOf(session, { ...options, requireSignature: undefined }, address, 'write');
  const signKey = options.sign === undefined ? (await session.settings({ store: address })).signKey : resolve(session.cwd, options.sign);
  const result = await consolidateExport({ store, export: reference, signKey, ...signers, signal, onEvent, parallel });
  session.output.result({ operation: 'consolidate', ...result }, describe(result));
}

function describe(result: ConsolidateResult): readonly string[] {
  const { from, reference, consolidated, storedBytes, copiedBytes, passedBytes, keptBytes } = result;
  if (!consolidated) return [`${from} is a plain full export already`];
  const how = `${formatBytes(copiedBytes)} copied within the store, ${formatBytes(passedBytes)} through this machine`;
  const kept = keptBytes === 0 ? [] : [`packs of ${from} that other exports need stay: ${formatBytes(keptBytes)}`];
  return [...kept, `${from} is ${reference} now: ${formatBytes(storedBytes)} (${how}), read back and checked`];
}
