import { mkdir } from 'node:fs/promises';
import { GantryError } from '@gantry/core';
import { ALL_VARIANTS, makeRandomFile, oneIn } from '@gantry/testkit';
import { execa } from 'execa';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ParseFailure } from '../src/command-line/parse-failure.ts';
import { COMMANDS } from '../src/commands.ts';
import { callHere, validCalls } from './calls-of-commands.ts';
import type { Workbench } from './workbench.ts';
import { MAIN, lastLine, makeWorkbench } from './workbench.ts';

/*
 * No user input may end in INTERNAL, or hang: every argument, option and variable of every command is tried with absurd values. The
 * commands come from the registry, so that new ones are included.
 */

let bench: Workbench;
let right: Readonly<Record<string, readonly string[]>>;

beforeAll(async () => {
  bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk'), 4096, 'seed');
  await mkdir(bench.file('directory'));
  const file = await bench.describeInstance('web1', { disks: [bench.file('disk')] });
  const reference = lastLine((await bench.gantry('export', file, bench.store)).stdout);
  right = validCalls(bench, file, reference);
});

afterAll(() => bench[Symbol.asyncDispose]());

const VALUES: Readonly<Record<string, () => string>> = {
  empty: () => '',
  'a space': () => ' ',
  'with a line end': () => 'a\nb',
  'far too long': () => 'x'.repeat(100_000),
  'not UTF-8': () => '\uFFFD\u0001',
  'a directory': () => bench.file('directory'),
  'beneath a file': () => `${bench.file('disk')}/x`,
  'a device that is full': () => '/dev/full',
  'an option': () => '--',
  zero: () => '0',
};

/** The calls that ended in an error that a user must not see. */
async function defects(
  calls: readonly { readonly what: string; readonly args: readonly string[]; readonly env?: NodeJS.ProcessEnv }[],
): Promise<readonly string[]> {
  const found: string[] = [];
  for (const { what, args, env } of calls) {
    const error = await callHere(bench, args, env);
    if (error === undefined || error instanceof GantryError || error instanceof ParseFailure) continue;
    found.push(`${what}: ${error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(error)}`);
  }
  return found;
}

/** How many commands have had an option before, by its flags: one that many have is read in one place. */
const commandsWith = new Map<string, number>();

/** Each option gets a part of the values, and other ones with each command that has it, unless all variants are asked for. */
function valuesFor(flags: string): readonly (readonly [string, () => string])[] {
  const before = commandsWith.get(flags) ?? 0;
  commandsWith.set(flags, before + 1);
  return Object.entries(VALUES).filter((_, index) => ALL_VARIANTS || index % 4 === before % 4);
}

describe.each(COMMANDS)('gantry $name', ({ name, load }) => {
  const words = name.split(' ');

  test('takes any text for its arguments without an internal error', async () => {
    const args = right[name];
    if (args === undefined) throw new Error(`add a valid call of gantry ${name} above`);
    const { default: command } = await load();
    const values = oneIn(
      3,
      Object.entries(VALUES),
      COMMANDS.findIndex((each) => each.name === name),
    );
    const calls = command.arguments.flatMap((argument, index) =>
      values.map(([what, value]) => ({
        what: `${argument} ${what}`,
        args: [...words, ...args.map((word, at) => (at === index ? value() : word))],
      })),
    );
    expect(await defects(calls)).toEqual([]);
  });

  test('takes any text for its options without an internal error', async () => {
    const args = right[name] ?? [];
    const { default: command } = await load();
    const calls = Object.values(command.options).flatMap(({ flags }) => {
      const long = /--[a-z-]+/.exec(flags)?.[0] ?? '';
      return valuesFor(flags).map(([what, value]) => ({ what: `${long} ${what}`, args: [...words, ...args, long, value()] }));
    });
    expect(await defects(calls)).toEqual([]);
  });
});

/** Commands that together read every variable: two by two, unless all variants are asked for, each with half of the values. */
describe.each(['export', 'move', 'import', 'os list'].map((name, at) => ({ name, at })))('gantry $name', ({ name, at }) => {
  test.each([
    'GANTRY_STATE_DIR',
    'GANTRY_OS_PATH',
    'GANTRY_CREATE_STORE',
    'GANTRY_YES',
    'GANTRY_STORE_LOG',
    'GANTRY_CONFIG',
    'GANTRY_CODEC',
    'GANTRY_INCREMENTAL',
    'GANTRY_IDENTITY',
    'GANTRY_LIMIT_RATE',
    'GANTRY_SNAPSHOT_CONFIG',
    'GANTRY_SNAPSHOT_SIZE',
    'GANTRY_SSH_PASSPHRASE',
    'HOME',
    'PATH',
  ])('takes any text for %s without an internal error', async (variable) => {
    const args = [...name.split(' '), ...(right[name] ?? [])];
    const values = Object.entries(VALUES).filter((_, index) => ALL_VARIANTS || index % 2 === at % 2);
    const calls = values.map(([what, value]) => ({ what, args, env: { [variable]: value() } }));
    expect(await defects(calls)).toEqual([]);
  });
});

describe('a process that lacks something usual works', () => {
  test.each([
    ['standard output', '>&-'],
    ['standard error', '2>&-'],
    ['both', '>&- 2>&-'],
    ['standard input', '<&-'],
    ['a reader of its output', '| true'],
  ])('%s', async (_what, redirection) => {
    const command = `"$0" "$1" list "$2" ${redirection}`;
    const { exitCode, stderr } = await execa('/bin/sh', ['-c', command, process.execPath, MAIN, bench.store], { reject: false });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });

  test('a home, a path and a terminal type', async () => {
    const { exitCode, stderr } = await execa(process.execPath, [MAIN, 'list', bench.store], {
      reject: false,
      extendEnv: false,
      env: {},
    });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });
});
