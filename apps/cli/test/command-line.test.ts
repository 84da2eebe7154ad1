import { ERROR_EXIT_CODES } from '@gantry/core';
import { describe, expect, test } from 'vitest';
import type { CommandModule } from '../src/command-line/command.ts';
import { COMMANDS_OF_OTHERS, OPTIONS_OF_OTHERS } from '../src/command-line/names-of-others.ts';
import { ParseFailure } from '../src/command-line/parse-failure.ts';
import { createProgram } from '../src/command-line/program.ts';
import { asUsageError } from '../src/command-line/usage-error.ts';
import { COMMANDS, GROUPS, SECTIONS } from '../src/commands.ts';
import type { CliContext } from '../src/session.ts';
import { jsonLines, makeWorkbench } from './workbench.ts';

const context: CliContext = {
  output: {
    event: () => {},
    note: () => {},
    warn: () => {},
    ask: () => {},
    result: () => {},
    bytes: () => {},
    failure: () => {},
    close: () => {},
  },
  json: false,
  quiet: false,
  signal: new AbortController().signal,
  env: {},
  cwd: '/',
  exitWith: () => {},
};

/** The error for a wrong call. */
async function refusal(...args: readonly string[]): Promise<{ readonly message: string; readonly hint: string | undefined }> {
  const program = await createProgram(args, context);
  const failure: unknown = await program.parseAsync(args, { from: 'user' }).then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(failure instanceof ParseFailure)) throw new Error(`${args.join(' ')} was not refused: ${String(failure)}`);
  const { code, exitCode, message, hint } = asUsageError(failure);
  expect({ code, exitCode }).toEqual({ code: 'USAGE', exitCode: 2 });
  return { message, hint };
}

/** The help that a call prints. */
async function help(...args: readonly string[]): Promise<string> {
  const program = await createProgram(args, context);
  let text = '';
  for (const command of [program, ...program.commands, ...program.commands.flatMap((group) => group.commands)]) {
    command.configureOutput({ writeOut: (part) => (text += part) });
  }
  await program.parseAsync(args, { from: 'user' }).catch((error: unknown) => {
    if (!(error instanceof ParseFailure) || !error.isHelp) throw error;
  });
  return text;
}

test('help fits into 80 columns', async () => {
  for (const name of ['', ...COMMANDS.map((command) => command.name)]) {
    const wide = (await help('help', ...name.split(' ').filter(Boolean))).split('\n').filter((line) => line.length > 80);
    expect({ name, wide }).toEqual({ name, wide: [] });
  }
});

describe('a wrong call is reported like every other error', () => {
  test.each([
    [['forget', '/srv'], 'unknown command "forget"', 'Did you mean gantry prune or gantry remove?'],
    [['RM', 'a'], 'unknown command "RM"', 'Did you mean gantry remove?'],
    [['cp', 'a', 'b'], 'unknown command "cp"', 'Did you mean gantry copy?'],
    [['check', 'a'], 'unknown command "check"', 'Did you mean gantry verify?'],
    [['dump', 'a'], 'unknown command "dump"', 'Did you mean gantry export?'],
    [['help', 'ls'], 'unknown command "ls"', 'Did you mean gantry list?'],
    [['snapshots'], 'gantry snapshots: no command given', 'Did you mean gantry list? Its commands: gantry snapshots check.'],
    [['snapshots', '/srv'], 'unknown command "snapshots /srv"', 'Did you mean gantry list? Its commands: gantry snapshots check.'],
    [['toString'], 'unknown command "toString"', 'gantry help shows the commands'],
    [['prune', '/srv', '-n'], 'unknown option "-n"', 'Did you mean --dry-run?'],
    [['export', 'a', 'b', '--compression=max'], 'unknown option "--compression=max"', 'Did you mean --codec or --level?'],
    [['restore', 'a', 'b'], 'unknown command "restore"', 'Did you mean gantry import?'],
    [['ls', '/srv'], 'unknown command "ls"', 'Did you mean gantry list?'],
    [['backup'], 'unknown command "backup"', 'Did you mean gantry export?'],
    [['exprot'], 'unknown command "exprot"', 'Did you mean gantry export?'],
    [['os', 'chek', 'x'], 'unknown command "os chek"', 'Did you mean gantry os check?'],
    [['os', 'frobnicate'], 'unknown command "os frobnicate"', 'Its commands: gantry os list, gantry os show, gantry os check.'],
    [['help', 'os', 'lst'], 'unknown command "os lst"', 'Did you mean gantry os list?'],
    [['store', 'check', 'x'], 'unknown command "store check"', 'Did you mean gantry store conformance?'],
    [['frobnicate'], 'unknown command "frobnicate"', 'gantry help shows the commands'],
    [['os'], 'gantry os: no command given', 'Its commands: gantry os list'],
    [[], 'no command given', 'gantry help shows the commands'],
    [['move', 'a', 'b'], "required option '--to <instance>' not specified", 'gantry help move shows its options and examples.'],
    [['list', '/a', '--jsn'], 'unknown option "--jsn"', 'Did you mean --json?'],
    [['export', 'a', 'b', '--levle=3'], 'unknown option "--levle=3"', 'Did you mean --level?'],
    [['export', 'a'], "missing required argument 'store'", 'gantry help export'],
    [['export', 'a', 'b', '--level', 'x'], 'It must be a whole number, 1 or more', 'gantry help export'],
    [['export', 'a', 'b', '--codec', 'lz4'], 'Allowed choices are zstd, gzip, none', 'gantry help export'],
    [['move', 'a', 'b'], "required option '--to <instance>' not specified", 'gantry help move'],
    [['list', 'a', 'b', 'c'], 'too many arguments', 'gantry help list'],
  ] as const)('%j', async (args, message, hint) => {
    const refused = await refusal(...args);
    expect(refused.message).toContain(message);
    expect(refused.message).not.toMatch(/^error|\.$/);
    expect(refused.hint).toContain(hint);
  });

  test('in the form of the other errors, for people and for programs, wherever --json is', async () => {
    await using bench = await makeWorkbench();
    expect(await bench.gantry('lits')).toEqual({
      exitCode: 2,
      stdout: '',
      stderr: 'gantry: unknown command "lits" [USAGE]\n  Did you mean gantry list?',
    });
    for (const args of [
      ['--json', 'lits'],
      ['lits', '--json'],
    ]) {
      const outcome = await bench.gantry(...args);
      expect(outcome).toMatchObject({ exitCode: 2, stderr: '' });
      expect(jsonLines(outcome.stdout)).toEqual([expect.objectContaining({ type: 'error', code: 'USAGE', exitCode: 2 })]);
    }
    const before = await bench.gantry('--json', '--quiet', 'list', bench.store);
    expect(before).toEqual(await bench.gantry('list', bench.store, '--quiet', '--json'));
    expect(jsonLines(before.stdout).at(-1)).toMatchObject({ type: 'result', exports: [] });
  });
});

describe('names of other tools', () => {
  const names = new Set(COMMANDS.flatMap(({ name }) => [name, ...(name.includes(' ') ? [name.split(' ')[0]] : [])]));

  test('lead to commands that there are, and hide none of ours', () => {
    const groups = Object.keys(GROUPS);
    for (const [name, suggested] of Object.entries(COMMANDS_OF_OTHERS)) {
      expect({ name, ours: names.has(name) && !groups.includes(name) }).toEqual({ name, ours: false });
      for (const ours of suggested.filter((each) => each !== 'help')) expect(names).toContain(ours);
    }
  });

  test('of options lead to options that there are, and hide none of ours', async () => {
    const modules = await Promise.all(COMMANDS.map(async ({ load }) => (await load()).default));
    const flags = modules.flatMap(({ options }) => Object.values(options).flatMap((option) => option.flags.split(/[ ,]+/)));
    const known = new Set([...flags, '--quiet']);
    for (const [name, suggested] of Object.entries(OPTIONS_OF_OTHERS)) {
      expect({ name, known: known.has(name) }).toEqual({ name, known: false });
      for (const ours of suggested) expect(known).toContain(ours);
    }
  });
});

describe('help', () => {
  test('lists every command that is not for other programs in a section, and every section', async () => {
    const text = await help('help');
    for (const section of Object.keys(SECTIONS)) expect(text).toContain(`\n${section}:\n`);
    const other = /\nOther:\n((?: .*\n)*)/.exec(text)?.[1] ?? '';
    expect(other.match(/^ {2}\w+/gm)).toEqual(['  help']);
    expect(text).not.toContain('\n  complete ');
  });

  test('has every exit code of an error', async () => {
    const text = (await help('help')).replaceAll(/\s+/g, ' ');
    for (const code of new Set(Object.values(ERROR_EXIT_CODES))) expect(text).toMatch(new RegExp(`[:;] ${code} [a-zO]`));
  });

  test('shows every command of the registry, and every group', async () => {
    const text = await help('help');
    for (const { name } of COMMANDS.filter(({ hidden }) => hidden !== true)) expect(text).toContain(`\n  ${name.split(' ')[0]} `);
    for (const [group, summary] of Object.entries(GROUPS)) expect(await help(group, '--help')).toContain(summary);
  });

  test.each(COMMANDS)('for gantry $name is the same with help and with --help', async ({ name, load }) => {
    const words = name.split(' ');
    const text = await help('help', ...words);
    expect(text).toContain(`Usage: gantry ${name} [options]`);
    expect(await help(...words, '--help')).toBe(text);
    const { default: command }: { readonly default: CommandModule } = await load();
    for (const { flags } of Object.values(command.options)) expect(text).toContain(flags);
    const unwrapped = text.replaceAll(/ \\\n +/g, ' ');
    for (const example of command.examples) expect(unwrapped).toContain(`$ ${example}\n`);
    expect(text).toContain('--json');
    expect(text).toContain('--quiet');
  });
});
