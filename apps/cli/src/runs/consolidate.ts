import { resolve } from 'node:path';
import type { ExportSettings } from '@gantry/config';
import type { ConsolidateRequest, ConsolidateResult } from '@gantry/core';
import { assertSigningKey, consolidateExport, readRecipients } from '@gantry/core';
import { formatBytes } from '@gantry/programs';
import type { OptionValues } from '../command-line/command.ts';
import type { RECIPIENTS } from '../command-line/recipient-options.ts';
import type { PARALLEL, RATE, UNSEAL } from '../command-line/options.ts';
import type { SIGN, SIGNERS } from '../command-line/signature-options.ts';
import type { Session } from '../session.ts';
import { parallelOf } from './parallel-choice.ts';
import { signersOf } from './signers.ts';

type Options = OptionValues<
  typeof RATE & typeof PARALLEL & typeof UNSEAL & typeof RECIPIENTS & typeof SIGN & Pick<typeof SIGNERS, 'allowedSigners'>
>;

/** Runs `gantry consolidate`. */
export async function run(session: Session, [address, reference]: readonly [string, string], options: Options): Promise<void> {
  const parallel = await parallelOf(session, options, address);
  const { signal, onEvent } = session.operation;
  const signers = await signersOf(session, { ...options, requireSignature: undefined }, address, 'write');
  const settings = await session.settings({ store: address });
  const signKey = options.sign === undefined ? settings.signKey : resolve(session.cwd, options.sign);
  if (options.sign !== undefined && signKey !== undefined) await assertSigningKey(signKey);
  const given = givenRecipients(session, options);
  const recipients = given && (await readRecipients(given, signal));
  await using store = await session.openSealed(address, 'write', options);
  const usualRecipients: ConsolidateRequest['usualRecipients'] = (signal) => readRecipients(settings, signal);
  const request = { store, export: reference, signKey, ...signers, recipients, usualRecipients, signal, onEvent, parallel };
  const result = await consolidateExport(request);
  session.output.result({ operation: 'consolidate', ...result }, describe(result));
}

/** What an option says is all of it. */
function givenRecipients(
  { cwd }: Session,
  { recipient: recipients, recipientsFile }: Options,
): Pick<ExportSettings, 'recipients' | 'recipientsFiles'> | undefined {
  if (recipients === undefined && recipientsFile === undefined) return undefined;
  return { recipients, recipientsFiles: recipientsFile?.map((file) => resolve(cwd, file)) };
}

function describe(result: ConsolidateResult): readonly string[] {
  const { from, reference, consolidated, storedBytes, copiedBytes, passedBytes, keptBytes } = result;
  if (!consolidated) return [`${from} is a plain full export already`];
  const how = `${formatBytes(copiedBytes)} copied within the store, ${formatBytes(passedBytes)} through this machine`;
  const kept = keptBytes === 0 ? [] : [`packs of ${from} that other exports need stay: ${formatBytes(keptBytes)}`];
  return [...kept, `${from} is ${reference} now: ${formatBytes(storedBytes)} (${how}), read back and checked`];
}
