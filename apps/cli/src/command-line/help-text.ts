import { ADDRESSES } from './addresses.ts';
import { EXIT_CODES } from './exit-codes.ts';

/** Help is at most this wide on any terminal, characters: longer lines are hard to read. */
export const HELP_WIDTH = 80;

/** Words of a command line, quoted ones with their quotes. */
const WORD = /(?:'[^']*'|"[^"]*"|[^\s'"])+/g;

/** What stands below the commands of `gantry help`. */
export function describeAddressesAndExitCodes(): string {
  const addresses = ADDRESSES.map(([word, meaning]) => `${/^[aeio]/.test(word) ? 'An' : 'A'} ${word.toUpperCase()} is ${meaning}.`);
  const codes = EXIT_CODES.map(({ code, short }) => `${code} ${short}`);
  return `\n${addresses.join('\n')}\n\n${wrap(`Exit codes: ${codes.join('; ')}.`, HELP_WIDTH).join('\n')}`;
}

/** What stands below the options of a command. */
export function describeExamples(examples: readonly string[]): string {
  const lines = examples.flatMap((example) =>
    wrapExample(example, HELP_WIDTH - 4).map((line, index) => `  ${index === 0 ? '$' : ' '} ${line}`),
  );
  return `\nExamples:\n${lines.join('\n')}`;
}

/** A command line as a shell takes it over several lines, each of at most `width` characters where its words allow that. */
export function wrapExample(example: string, width: number): readonly string[] {
  const lines = wrap(example, width - 2, (line) => (line === 0 ? '' : '    '));
  return lines.map((line, index) => (index < lines.length - 1 ? `${line} \\` : line));
}

function wrap(text: string, width: number, indent: (line: number) => string = () => ''): readonly string[] {
  const lines: string[] = [];
  for (const word of text.match(WORD) ?? []) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width) lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(`${indent(lines.length)}${word}`);
  }
  return lines;
}
