import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { fiveMinutes, PICTURE, PROMPT, README, record, textOf, toSvg } from '../build/recording.ts';

/** Without what differs from run to run: times, rates, ids, and with them the widths of columns. */
function withoutFigures(lines: readonly string[]): readonly string[] {
  return lines.filter((line) => line !== '').map((line) => line.replaceAll(/[\d.]+( [KMG]iB\/s)?/g, 'N').replaceAll(/ +/g, ' '));
}

test("the README's picture shows its commands, and what they print today (else: pnpm docs:record)", async ({ signal }) => {
  const { instance, commands } = fiveMinutes(await readFile(README, 'utf8'));
  expect(commands.map((command) => command.split(' ')[1])).toEqual(['store', 'export', 'list', 'verify', 'import']);
  const { lines, statuses } = await record(instance, commands, signal);
  expect(statuses, lines.join('\n')).toEqual(commands.map(() => '0'));
  const picture = textOf(await readFile(PICTURE, 'utf8'));
  expect(picture.filter((line) => line.startsWith(PROMPT))).toEqual(commands.map((command) => `${PROMPT}${command}`));
  expect(withoutFigures(lines)).toEqual(withoutFigures(picture));
});

test('a picture keeps the text', () => {
  const lines = ['$ a <b> && c', '  two  spaces'];
  expect(textOf(toSvg(['', ...lines]))).toEqual(lines);
});
