import type { CheckedKeys } from '@gantry/core';
import { checkKeys, ERROR_EXIT_CODES } from '@gantry/core';
import { formatTable } from '@gantry/programs';
import type { OptionValues } from '../command-line/command.ts';
import type { RATE, UNSEAL } from '../command-line/options.ts';
import type { Session } from '../session.ts';

/** Runs `gantry keys check`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string | undefined],
  options: OptionValues<typeof RATE & typeof UNSEAL>,
): Promise<void> {
  await using store = await session.openSealed(address, 'read', options);
  const { signal, onEvent } = session.operation;
  const result = await checkKeys({ store, export: reference, signal, onEvent });
  if (result.exports.some(({ readable }) => readable === false)) session.exitWith(ERROR_EXIT_CODES.IDENTITY_MISMATCH);
  session.output.result({ operation: 'keys-check', store: store.address, ...result }, describe(result.exports));
}

/** Recipients stand below each export: they are as long as a line. */
function describe(exports: readonly CheckedKeys[]): readonly string[] {
  if (exports.length === 0) return ['no exports'];
  const table = formatTable([['EXPORT', 'SEALED', 'ADDED', 'OPENS'], ...exports.map(rowOf)]);
  const sets = new Map<string, readonly string[]>();
  for (const { sealed, recipients } of exports) if (sealed) sets.set(recipients.join(' '), recipients);
  const recipients = [...sets.values()].flatMap((texts, index) =>
    ['', `recipients${sets.size === 1 ? '' : ` ${index + 1}`}`].concat(texts),
  );
  const numberOf = ({ recipients }: CheckedKeys): number => [...sets.keys()].indexOf(recipients.join(' ')) + 1;
  const whose =
    sets.size < 2 ? [] : exports.filter(({ sealed }) => sealed).map((each) => `${each.reference}: recipients ${numberOf(each)}`);
  const gone = exports.flatMap(({ reference, missingKeys = [] }) =>
    missingKeys.map((name) => `${reference}: ${name} is missing: it was removed, or left out of a copy`),
  );
  const closed = exports.flatMap(({ reference, closed = [] }) => closed.map((name) => `${reference}: ${name} is encrypted to others`));
  return [...table, ...recipients, ...withGap(whose), ...withGap(closed), ...withGap(gone)];
}

function withGap(lines: readonly string[]): readonly string[] {
  return lines.length === 0 ? [] : ['', ...lines];
}

function rowOf({ reference, sealed, recipients, addedKeys, readable }: CheckedKeys): string[] {
  if (!sealed) return [reference, 'no', '-', '-'];
  const to = recipients.length === 0 ? 'with a passphrase' : `to ${recipients.length}`;
  return [reference, to, addedKeys === 0 ? '-' : String(addedKeys), readable === undefined ? '-' : readable ? 'yes' : 'no'];
}
