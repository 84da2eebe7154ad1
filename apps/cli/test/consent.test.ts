import { readFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile, makeSparseFile } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { MAIN, jsonLines, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

/** An export of `one`, and an empty disk of `two`, without the consent that other tests give in the environment. */
async function makeBench(env: Readonly<Record<string, string>> = {}): Promise<Workbench> {
  const bench = await makeWorkbench({ GANTRY_YES: '', ...env });
  await makeRandomFile(bench.file('one.img'), MIB, 'consent');
  await makeSparseFile(bench.file('two.img'), 2 * MIB);
  const one = await bench.describeInstance('one.example.com', { disks: ['one.img'] });
  await bench.describeInstance('two.example.com', { disks: ['two.img'] });
  expect(await bench.gantry('export', one, bench.store)).toMatchObject({ exitCode: 0 });
  return bench;
}

const importArguments = (bench: Workbench): string[] => [
  'import',
  bench.store,
  'one.example.com',
  '--to',
  bench.file('two.example.com.yaml'),
];

async function isWritten(bench: Workbench): Promise<boolean> {
  const [one, two] = await Promise.all(['one.img', 'two.img'].map((name) => readFile(bench.file(name))));
  return one !== undefined && two?.subarray(0, MIB).equals(one) === true;
}

/** Runs the command on a terminal of its own, answers its question, and returns the terminal's output. */
async function onTerminal(
  bench: Workbench,
  args: readonly string[],
  answer: string,
): Promise<{ exitCode: number | undefined; shown: string }> {
  const command = [process.execPath, MAIN, ...args].map((word) => `'${word}'`).join(' ');
  const terminal = execa('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    cwd: bench.path,
    env: { GANTRY_STATE_DIR: bench.file('state'), GANTRY_YES: '' },
    stdin: 'pipe',
    reject: false,
  });
  let shown = '';
  terminal.stdout.on('data', (chunk: Buffer) => {
    const before = shown;
    shown += chunk.toString();
    if (shown.includes('(yes or no)') && !before.includes('(yes or no)')) terminal.stdin.write(answer);
  });
  const { exitCode } = await terminal;
  return { exitCode, shown };
}

describe('an import into another instance', () => {
  test('can be interrupted at the question, which says nothing about scripts', async () => {
    await using bench = await makeBench();
    const { exitCode, shown } = await onTerminal(bench, importArguments(bench), '\u0003');
    expect(exitCode, shown).toBe(130);
    expect(shown).toContain('SIGINT: stopping and cleaning up');
    expect(shown).not.toContain('script');
    expect(await isWritten(bench)).toBe(false);
  });

  test('is refused without a terminal, and the error shows what it would overwrite', async () => {
    await using bench = await makeBench();
    const { exitCode, stderr } = await bench.gantry(...importArguments(bench));
    expect(exitCode).toBe(14);
    expect(stderr).toMatch(
      /goes into another instance, two\.example\.com:\n {2}disk 0: 1\.00 MiB onto .*two\.img \(2\.00 MiB, now: empty\)\n/,
    );
    expect(stderr).toMatch(/\[CONFIRM_NEEDED\]\n.*disk 0: .*two\.img \(empty\)\n.*--yes/s);
    expect(await isWritten(bench)).toBe(false);
  });

  test.each([
    ['--yes', ['--yes'], {}],
    ['the environment', [], { GANTRY_YES: '1' }],
  ])('goes on with %s', async (_, options, env) => {
    await using bench = await makeBench(env);
    const outcome = await bench.gantry(...importArguments(bench), ...options);
    expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0 });
    expect(await isWritten(bench)).toBe(true);
  });

  test('is shown by --dry-run, which writes nothing; also as JSON', async () => {
    await using bench = await makeBench();
    const shown = await bench.gantry(...importArguments(bench), '--dry-run', '--quiet');
    expect(shown).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/disk 0: 1\.00 MiB onto .*\ndry run: nothing was written$/) });
    const { stdout, exitCode } = await bench.gantry(...importArguments(bench), '--dry-run', '--json');
    expect(exitCode).toBe(0);
    const disks = [{ disk: 0, target: bench.file('two.img'), targetBytes: 2 * MIB, incomingBytes: MIB, holds: 'empty' }];
    const plan = { exported: 'one.example.com', into: 'two.example.com', disks };
    expect(jsonLines(stdout)).toContainEqual(expect.objectContaining({ type: 'plan', ...plan }));
    expect(jsonLines(stdout).at(-1)).toMatchObject({ type: 'result', operation: 'import', dryRun: true, plan });
    expect(await isWritten(bench)).toBe(false);
  });

  test.each([
    ['yes\n', 0, true],
    ['no\n', 14, false],
    ['\n', 14, false],
    // End of input and an interrupt, as a terminal sends them.
    ['\u0004', 14, false],
    ['\u0003', 130, false],
  ])('asks on a terminal, and the answer %j counts', async (answer, expected, written) => {
    await using bench = await makeBench();
    const { exitCode, shown } = await onTerminal(bench, importArguments(bench), answer);
    expect(exitCode, shown).toBe(expected);
    expect(await isWritten(bench)).toBe(written);
  });
});

test('a disk in use is refused with exit code 10, and --force-in-use insists', async () => {
  await using bench = await makeBench({ GANTRY_YES: '1' });
  const holder = execa('sh', ['-c', 'exec 3<>"$1"; read line', 'sh', bench.file('two.img')], { stdin: 'pipe' });
  const refused = await bench.gantry(...importArguments(bench));
  expect(refused).toMatchObject({ exitCode: 10, stderr: expect.stringMatching(/process \d+ \(sh\) has it open for writing \[BUSY\]/) });
  expect(await isWritten(bench)).toBe(false);
  const forced = await bench.gantry(...importArguments(bench), '--force-in-use');
  expect(forced).toMatchObject({ exitCode: 0, stderr: expect.stringMatching(/warning: disk 0: .* in use and is written anyway/) });
  holder.stdin.end('\n');
  await holder;
});
