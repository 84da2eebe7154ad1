import { describe, expect, test } from 'vitest';
import type { CommandModule } from '../src/command-line/command.ts';
import { ParseFailure } from '../src/command-line/parse-failure.ts';
import { createProgram } from '../src/command-line/program.ts';
import { asUsageError } from '../src/command-line/usage-error.ts';
import { COMMANDS, GROUPS } from '../src/commands.ts';
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
    const wide = (await help('help', ...name.split(' ').filter(Boolean)))
      .split('\n')
      .filter((line) => line.length > 80 && !line.includes('$ '));
    expect({ name, wide }).toEqual({ name, wide: [] });
  }
});

describe('a wrong call is reported like every other error', () => {
  test.each([
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
    [['import', 'a', 'b'], "required option '--to <instance>' not specified", 'gantry help import shows its options and examples.'],
    [['list', '/a', '--jsn'], 'unknown option "--jsn"', 'Did you mean --json?'],
    [['export', 'a', 'b', '--levle=3'], 'unknown option "--levle=3"', 'Did you mean --level?'],
    [['export', 'a'], "missing required argument 'store'", 'gantry help export'],
    [['export', 'a', 'b', '--level', 'x'], 'It must be a whole number, 1 or more', 'gantry help export'],
    [['export', 'a', 'b', '--codec', 'lz4'], 'Allowed choices are zstd, gzip, none', 'gantry help export'],
    [['import', 'a', 'b'], "required option '--to <instance>' not specified", 'gantry help import'],
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

describe('help', () => {
  test('shows every command of the registry, and every group', async () => {
    const text = await help('help');
    for (const { name } of COMMANDS) expect(text).toContain(`\n  ${name.split(' ')[0]} `);
    for (const [group, summary] of Object.entries(GROUPS)) expect(await help(group, '--help')).toContain(summary);
  });

  test.each(COMMANDS)('for gantry $name is the same with help and with --help', async ({ name, load }) => {
    const words = name.split(' ');
    const text = await help('help', ...words);
    expect(text).toContain(`Usage: gantry ${name} [options]`);
    expect(await help(...words, '--help')).toBe(text);
    const { default: command }: { readonly default: CommandModule } = await load();
    for (const { flags } of Object.values(command.options)) expect(text).toContain(flags);
    for (const example of command.examples) expect(text).toContain(`$ ${example}`);
    expect(text).toContain('--json');
    expect(text).toContain('--quiet');
  });
});
