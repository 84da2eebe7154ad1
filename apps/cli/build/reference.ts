import { ERROR_EXIT_CODES, ERROR_MEANINGS } from '@gantry/core';
import type { GantryErrorCode } from '@gantry/core';
import type { CommandModule } from '../src/command-line/command.ts';
import type { OptionSpec } from '../src/command-line/options.ts';
import { COMMANDS } from '../src/commands.ts';

/** Pages of `docs/reference` with parts that are generated from the code, and the functions that generate these parts by name. */
export const PAGES: Readonly<Record<string, () => Promise<ReadonlyMap<string, string>>>> = {
  'errors.md': async () => await Promise.resolve(new Map([['error codes', errorTable()]])),
  'commands.md': async () => new Map(await Promise.all(COMMANDS.map(async ({ name, load }) => describe(name, (await load()).default)))),
};

const PART = /(<!-- made from the code: (.+) -->\n)[^]*?(\n<!-- end -->)/g;

/**
 * `page` with each of its parts regenerated.
 * @throws Error if the page lacks a part, or has one that the code does not generate
 */
export function fillPage(page: string, parts: ReadonlyMap<string, string>): string {
  const missing = new Set(parts.keys());
  const filled = page.replaceAll(PART, (_all, begin: string, name: string, end: string) => {
    const part = parts.get(name);
    if (part === undefined || !missing.delete(name)) throw new Error(`"${name}" is on the page, but not in the code, or twice`);
    return `${begin}\n${part}\n${end}`;
  });
  if (missing.size > 0) throw new Error(`the page lacks <!-- made from the code: ${[...missing].join(', ')} -->`);
  return filled;
}

function errorTable(): string {
  const codes = Object.keys(ERROR_MEANINGS).filter((code): code is GantryErrorCode => code in ERROR_EXIT_CODES);
  const rows = codes.map((code) => [String(ERROR_EXIT_CODES[code]), `\`${code}\``, ERROR_MEANINGS[code]]);
  return table([['exit', 'code', 'what it means'], ...rows]);
}

/** A command's usage line and a table of its options. */
function describe(name: string, { arguments: args, options }: CommandModule): readonly [string, string] {
  const specs = Object.values(options);
  const required = specs.filter((spec) => spec.required === true).map(({ flags }) => flags);
  const optional = specs.length > required.length ? ['[options]'] : [];
  const usage = `\`${['gantry', name, ...args, ...required, ...optional].join(' ')}\``;
  if (specs.length === 0) return [`gantry ${name}`, usage];
  const rows = specs.map((spec) => [`\`${spec.flags}\``, explain(spec)]);
  return [`gantry ${name}`, `${usage}\n\n${table([['option', 'what it does'], ...rows])}`];
}

function explain({ description, choices, required, default: byDefault }: OptionSpec<unknown>): string {
  const notes = [
    ...(required === true ? ['required'] : []),
    ...(choices === undefined ? [] : [choices.map((value) => `\`${value}\``).join(', ')]),
    ...(typeof byDefault === 'string' ? [`default \`${byDefault}\``] : []),
  ];
  const text = description.replaceAll('*', String.raw`\*`).replaceAll('|', String.raw`\|`);
  return notes.length === 0 ? text : `${text} (${notes.join('; ')})`;
}

/** A table as oxfmt lays it out, so that formatting changes nothing. */
function table(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, column) => Math.max(3, ...rows.map((row) => row[column]?.length ?? 0)));
  const line = (cells: readonly string[]): string => `| ${cells.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(' | ')} |`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...body.map(line)].join('\n');
}
