import { ERROR_EXIT_CODES, ERROR_MEANINGS } from '@gantry/core';
import type { GantryErrorCode } from '@gantry/core';
import type { CommandModule } from '../src/command-line/command.ts';
import type { OptionSpec } from '../src/command-line/options.ts';
import { COMMANDS } from '../src/commands.ts';

/** Pages of `docs/reference` with parts that are generated from the code, and the functions that generate these parts by name. */
export const PAGES: Readonly<Record<string, () => Promise<ReadonlyMap<string, string>>>> = {
  'errors.md': async () => await Promise.resolve(new Map([['error codes', errorList()]])),
  'commands.md': async () => new Map(await Promise.all(COMMANDS.map(async ({ name, load }) => describe(name, (await load()).default)))),
};

/** As `.oxfmtrc.json` has it for pages. */
const PAGE_WIDTH = 120;

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

/** The codes by exit code, each with what it means. */
function errorList(): string {
  const codes = Object.keys(ERROR_MEANINGS).filter((code): code is GantryErrorCode => code in ERROR_EXIT_CODES);
  const byExitCode = Map.groupBy(codes, (code) => ERROR_EXIT_CODES[code]);
  const parts = [...byExitCode].map(([exitCode, those]) => {
    const items = those.map((code) => item(`\`${code}\`: ${ERROR_MEANINGS[code]}`));
    return [`Exit code ${exitCode}:`, '', ...items].join('\n');
  });
  return parts.join('\n\n');
}

/** A command's usage line and a list of its options. */
function describe(name: string, { arguments: args, options }: CommandModule): readonly [string, string] {
  const specs = Object.values(options);
  const required = specs.filter((spec) => spec.required === true).map(({ flags }) => flags);
  const optional = specs.length > required.length ? ['[options]'] : [];
  const usage = `\`${['gantry', name, ...args, ...required, ...optional].join(' ')}\``;
  const items = specs.map((spec) => item(`\`${spec.flags}\`: ${explain(spec)}`));
  return [`gantry ${name}`, items.length === 0 ? usage : [usage, '', ...items].join('\n')];
}

function explain({ description, choices, required, default: byDefault }: OptionSpec<unknown>): string {
  const notes = [
    ...(required === true ? ['required'] : []),
    ...(choices === undefined ? [] : [choices.map((value) => `\`${value}\``).join(', ')]),
    ...(typeof byDefault === 'string' ? [`default \`${byDefault}\``] : []),
  ];
  const text = description.replaceAll('*', String.raw`\*`);
  return notes.length === 0 ? text : `${text} (${notes.join('; ')})`;
}

/** An item of a list, with lines as long as the formatter makes them: it breaks no inline code. */
function item(text: string): string {
  const words = text.match(/(?:`[^`]*`|\S)+/g) ?? [];
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= PAGE_WIDTH) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(lines.length === 0 ? `- ${word}` : `  ${word}`);
  }
  return lines.join('\n');
}
