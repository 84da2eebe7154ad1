import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { glob, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { makeTemporaryDirectory } from '../disks/temporary-directory.ts';
import { addToCorpus, readCorpus } from './corpus.ts';
import { fuzz } from './fuzz.ts';
import { Random } from './random.ts';
import type { FuzzTarget } from './target.ts';
import { WatchedWorker } from './watched-worker.ts';
import type { Job, JobOutcome } from './worker-protocol.ts';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));
/** Of each target, beside its seeds and its corpus; scripts/fuzz.sh makes as many as it is asked for. */
const INPUTS = 40;

async function runFuzzers(parameters: readonly string[]): Promise<{ readonly output: string; readonly status: unknown }> {
  const child = spawn(join(ROOT, 'scripts/fuzz.sh'), parameters, { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const output = await text(child.stdout);
  const [status]: unknown[] = await exited;
  return { output, status };
}

test('every reader refuses the inputs of its corpus, and those that mutations make of them, or reads them', async () => {
  const { output, status } = await runFuzzers(['--inputs', String(INPUTS), '--seed', '1', '--jobs', '1', '--unguided', '--no-save']);
  expect(output).not.toContain('FAILED');
  expect(status).toBe(0);
  const files = await Array.fromAsync(glob('{packages,apps}/*/test/fuzz/*.fuzz.ts', { cwd: ROOT }));
  expect(files.length).toBeGreaterThan(40);
  const { inputs = '', targets } = /^(?<inputs>\d+) inputs in all, (?<targets>\d+) targets, 0 failed$/m.exec(output)?.groups ?? {};
  expect(Number(targets)).toBe(files.length);
  expect(output.match(/^\S+ +[1-9]\d* inputs/gm)).toHaveLength(files.length);
  expect(Number(inputs)).toBeGreaterThan(1000);
});

describe('the fuzzer', () => {
  /** Fails for what begins with three letters, each of which is looked for only after the one before. */
  const target: FuzzTarget = {
    seeds: () => ['aaaa'],
    run(input) {
      if (input[0] === 0x66 && input[1] === 0x75 && input[2] === 0x7a) throw new Error('found');
    },
  };
  const options = { seed: 7, corpus: [], isGuided: false };

  test('finds a failure, and makes its input short', async () => {
    const { failures } = await fuzz({ ...target, words: ['fuz'] }, { ...options, inputs: 20_000 });
    expect(failures.map(({ input }) => Buffer.from(input).toString())).toEqual(['fuz']);
    expect(failures[0]?.text).toContain('found');
  });

  test('makes the same inputs again for the same seed', async () => {
    const runs = await Promise.all([7, 7, 8].map((seed) => inputsOf(seed)));
    expect(runs[0]).toEqual(runs[1]);
    expect(runs[0]).not.toEqual(runs[2]);
  });

  test('tells of an input that takes more memory than is allowed', async () => {
    const held: Buffer[] = [];
    const greedy: FuzzTarget = { seeds: () => ['a'], run: () => void held.push(Buffer.alloc(64 * 1024 ** 2, 1)) };
    const { failures } = await fuzz(greedy, { ...options, inputs: 1, maxGrowthBytes: 32 * 1024 ** 2 });
    expect(failures.map(({ text }) => text)).toEqual([expect.stringMatching(/it took \d+ MiB of memory/)]);
  });

  test('tells of an input that does not end, or writes to the terminal, and goes on with other targets', async () => {
    await using worker = new WatchedWorker(2000);
    const run = (name: string): Promise<JobOutcome> => worker.run(jobOf(name, 50));
    expect(await failuresOf(run('never-ends'))).toEqual([['for ever', expect.stringContaining('does not end')]]);
    expect(await run('ends')).toMatchObject({ name: 'ends', inputs: 51, failures: [] });
    expect(await failuresOf(run('writes'))).toContainEqual([
      expect.any(String),
      expect.stringContaining('it wrote to the terminal: a warning'),
    ]);
  });

  test('tells of a promise that a reader left behind rejected, also after the last input', async () => {
    await using worker = new WatchedWorker();
    expect(await failuresOf(worker.run(jobOf('always-rejects', 16)))).toEqual([
      [expect.any(String), expect.stringContaining('nobody waits')],
    ]);
  });

  test.each([1, 2, 3])('puts it down to the input that made it do so, with seed %i', async (seed) => {
    await using worker = new WatchedWorker();
    const found = await failuresOf(worker.run({ ...jobOf('rejects', 2000), seed }));
    expect(found).toEqual([['Z', expect.stringContaining('nobody waits')]]);
  });

  test('ends its worker with itself, also one in an input that does not end', async () => {
    await using directory = await makeTemporaryDirectory();
    const file = join(directory.path, 'stuck');
    const command = fileURLToPath(new URL('testing/stuck-command.ts', import.meta.url));
    const child = spawn(process.execPath, ['--conditions=@gantry/source', '--no-warnings', command], {
      env: { ...process.env, TMPDIR: directory.path, FUZZ_STUCK_FILE: file },
      stdio: 'inherit',
    });
    const exited = once(child, 'exit');
    const pid = await vi.waitFor(async () => Number(/^\d+$/.exec(await readFile(file, 'utf8'))?.[0] ?? expect.fail('not yet')), 60_000);
    onTestFinished(() => {
      if (isRunning(pid)) process.kill(pid, 'SIGKILL');
    });
    child.kill('SIGTERM');
    await exited;
    await vi.waitFor(() => expect(isRunning(pid)).toBe(false), 60_000);
  });

  test('comes back to a target until there are as many inputs in all as it was asked for', async () => {
    const { output, status } = await runFuzzers(['--total', '40', '--seed', '1', '--jobs', '1', '--unguided', '--no-save', 'cut-off-gzip']);
    const rounds = output.match(/^cut-off-gzip +[1-9]\d* inputs/gm) ?? [];
    expect(rounds.length).toBeGreaterThan(1);
    const { inputs = '' } = /^(?<inputs>\d+) inputs in all, 1 targets, 0 failed$/m.exec(output)?.groups ?? {};
    expect(Number(inputs)).toBeGreaterThanOrEqual(40);
    expect(status).toBe(0);
  });

  test('goes on with what was found before', async () => {
    await using worker = new WatchedWorker();
    const found = [Buffer.from('a'), Buffer.from('b')];
    expect(await worker.run({ ...jobOf('ends', 5), found })).toMatchObject({ inputs: 1 + found.length + 5, failures: [] });
  });

  test('keeps what reaches something new, if it looks at what is executed', async () => {
    const { output, status } = await runFuzzers(['--inputs', '400', '--seed', '1', '--no-save', 'quantities']);
    expect(output).toMatch(/^quantities +4\d\d inputs +\d+\/s +[1-9]\d* kept$/m);
    expect(status).toBe(0);
  });
});

function jobOf(name: string, inputs: number): Job {
  const file = new URL(`testing/${name}.ts`, import.meta.url).href;
  return { name, file, corpus: '/nonexistent', seed: 1, inputs, isGuided: false };
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

async function failuresOf(run: Promise<JobOutcome>): Promise<readonly unknown[]> {
  return (await run).failures.map(({ input, text }) => [Buffer.from(input).toString(), text]);
}

async function inputsOf(seed: number): Promise<readonly string[]> {
  const inputs: string[] = [];
  const target: FuzzTarget = { seeds: () => ['{"a":1}', 'text'], run: (input) => void inputs.push(Buffer.from(input).toString('hex')) };
  await fuzz(target, { seed, corpus: [], isGuided: false, inputs: 500 });
  return inputs;
}

test('a corpus gives back what was put into it, each input once', async () => {
  await using directory = await makeTemporaryDirectory();
  const path = join(directory.path, 'new', 'corpus.txt');
  const inputs = [Buffer.from('text "x"\n'), Buffer.of(0, 0xff, 0x80), Buffer.from('\u202E'), Buffer.alloc(5000, 'a'), Buffer.of()];
  await addToCorpus(path, inputs, 'a remark');
  await addToCorpus(path, inputs);
  expect((await readCorpus(path)).map((input) => Buffer.from(input))).toEqual(inputs);
  expect(await readFile(path, 'utf8')).not.toContain('\u202E');
});

test('random numbers are in their range, and reach its ends', () => {
  const random = new Random(1);
  const seen = new Set(Array.from({ length: 200 }, () => random.below(5)));
  expect(seen).toEqual(new Set([0, 1, 2, 3, 4]));
});
