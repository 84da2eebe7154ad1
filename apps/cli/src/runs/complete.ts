import { createListing } from '../completion/listing.ts';
import { splitLine } from '../completion/shell-words.ts';
import type { Suggestions } from '../completion/suggest.ts';
import { suggest } from '../completion/suggest.ts';
import type { Session } from '../session.ts';

/** Runs `gantry complete`. */
export async function run(
  session: Session,
  [words]: readonly [readonly string[]],
  { line }: { readonly line: string | undefined },
): Promise<void> {
  const typed = line === undefined ? words : splitLine(line).slice(1);
  const suggestions = await suggest(typed.length === 0 ? [''] : typed, createListing(session));
  session.output.bytes({ operation: 'complete', ...suggestions }, Buffer.from(asLines(suggestions)));
}

/** What the scripts of the shells read: what else to suggest and the word, then a line for each suggestion; both with a tab in between. */
function asLines({ word, paths, items }: Suggestions): string {
  const rows = [[paths, word], ...items.map(({ value, description = '' }) => [value, description])];
  return rows.map((row) => `${row.map((text) => text.replaceAll(/\p{Cc}/gu, ' ')).join('\t')}\n`).join('');
}
