import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { identifyProcess } from '@gantry/transport';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import type { PolicyRun } from './form.ts';
import { RunLog } from './log.ts';
import { endKilledRuns, policyRunsDirectory, readPolicyRuns, writePolicyRun } from './store.ts';

let state: TemporaryDirectory;
let warnings: string[];

beforeEach(async () => {
  state = await makeTemporaryDirectory();
  warnings = [];
});

afterEach(async () => {
  await state[Symbol.asyncDispose]();
});

const warn = (message: string): void => void warnings.push(message);

async function open(policy = 'nightly'): Promise<RunLog> {
  return await RunLog.open(policy, { stateDirectory: state.path, warn });
}

async function read(newest?: number): Promise<readonly PolicyRun[]> {
  return await readPolicyRuns('nightly', { stateDirectory: state.path, newest, warn });
}

test('a policy that never ran has no records', async () => {
  expect(await read()).toEqual([]);
});

test('a run is there from its beginning, for its user alone, and says how it ended', async () => {
  const log = await open();
  expect(await read()).toMatchObject([{ policy: 'nightly', outcome: 'running', process: { pid: process.pid } }]);
  const directory = policyRunsDirectory(state.path, 'nightly');
  const [name = ''] = await readdir(directory);
  expect(name).toMatch(/^\d{8}T\d{9}Z-\d+\.json$/);
  expect((await stat(join(directory, name))).mode & 0o777).toBe(0o600);
  expect((await stat(directory)).mode & 0o777).toBe(0o700);
  await log.select({ selection: 'all', instances: [instance('web1')] }, { problems: [], warnings: [] });
  await log.instance('web1', { state: 'exported', reference: 'web1@1' });
  log.store('local', 'exports', { pruned: { removed: [], kept: 1, deletedBytes: 0, markedBytes: 0 } });
  log.problem({ what: 'x', code: 'BUSY', message: 'y' });
  const ended = await log.end({ outcome: 'partial', exitCode: 16 });
  expect(await read()).toEqual([ended]);
  expect(ended.instances).toMatchObject([{ name: 'web1', state: 'exported' }]);
  expect(await readdir(directory)).toHaveLength(1);
});

test('which instances a run has, and how far it is with each, is written at once', async () => {
  const log = await open();
  await log.select(
    { selection: 'all', instances: [instance('web1')] },
    { problems: [{ what: 'x', code: 'BUSY', message: 'y' }], warnings: [] },
  );
  expect(await read()).toMatchObject([{ selection: 'all', instances: [{ name: 'web1', state: 'waiting' }], problems: [{ code: 'BUSY' }] }]);
  const states = ['running', 'exported'] as const;
  // Also when two change at once.
  await Promise.all(states.map((state) => log.instance('web1', { state })));
  expect(await read()).toMatchObject([{ instances: [{ state: 'exported' }] }]);
});

test('anything else is written within 5 s, although nothing follows', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  try {
    const log = await open();
    log.problem({ what: 'x', code: 'BUSY', message: 'y' });
    log.store('local', 'exports', { pruned: { removed: [], kept: 1, deletedBytes: 0, markedBytes: 0 } });
    expect(await read()).toMatchObject([{ problems: [], stores: [] }]);
    vi.advanceTimersByTime(5000);
  } finally {
    vi.useRealTimers();
  }
  await expect.poll(() => read(), { timeout: 60_000 }).toMatchObject([{ problems: [{ code: 'BUSY' }], stores: [{ store: 'local' }] }]);
});

test('a run whose process is gone was killed', async () => {
  const log = await open();
  const us = await identifyProcess(process.pid);
  const directory = policyRunsDirectory(state.path, 'nightly');
  await writePolicyRun(directory, {
    ...log.run,
    process: { pid: process.pid, startTime: (us?.startTime ?? 0) + 1, bootId: us?.bootId ?? '' },
  });
  expect(await read()).toMatchObject([{ outcome: 'killed' }]);
});

test('the newest runs come first, and the oldest beyond 100 are removed', async () => {
  const log = await open();
  const directory = policyRunsDirectory(state.path, 'nightly');
  for (let day = 0; day < 105; day += 1)
    await writePolicyRun(directory, { ...log.run, started: new Date(Date.UTC(2026, 0, 1 + day)).toISOString(), outcome: 'done' });
  await writeFile(join(directory, 'left.tmp'), 'half');
  const last = await open();
  await last.end({ outcome: 'done', exitCode: 0 });
  const runs = await read();
  expect(runs).toHaveLength(100);
  expect(runs.map(({ started }) => started)).toEqual(
    runs
      .map(({ started }) => started)
      .toSorted()
      .toReversed(),
  );
  expect((await read(1))[0]?.started).toBe(last.run.started);
  expect(await readdir(directory)).not.toContain('left.tmp');
});

test('a run from the future does not hide those that begin later, and is removed first', async () => {
  const log = await open();
  const directory = policyRunsDirectory(state.path, 'nightly');
  await writePolicyRun(directory, { ...log.run, started: '2099-01-01T00:00:00.000Z', outcome: 'done' });
  expect(await read(1)).toEqual([log.run]);
  for (let day = 0; day < 99; day += 1)
    await writePolicyRun(directory, { ...log.run, started: new Date(Date.UTC(2020, 0, 1 + day)).toISOString(), outcome: 'done' });
  await open();
  expect(await readdir(directory)).toHaveLength(100);
  expect((await readdir(directory)).filter((name) => name.startsWith('2099'))).toEqual([]);
});

test.each([
  ['not JSON', 'nonsense', /cannot read .*: it is not JSON$/],
  ['of another format', '{"format":"x"}', /cannot read .*, the record of a run: format: Invalid input[^\n]*$/],
])('a record that is %s is passed over with a warning', async (_, text, message) => {
  const log = await open();
  await writeFile(join(policyRunsDirectory(state.path, 'nightly'), '20260101T000000000Z-1.json'), text);
  expect(await read()).toEqual([log.run]);
  expect(warnings).toEqual([expect.stringMatching(message)]);
});

test('a record that cannot be written is a warning, and said once', async () => {
  const log = await open();
  const directory = policyRunsDirectory(state.path, 'nightly');
  const [name = ''] = await readdir(directory);
  await rm(join(directory, name));
  await mkdir(join(directory, name));
  await log.end({ outcome: 'done', exitCode: 0 });
  await log.end({ outcome: 'done', exitCode: 0 });
  expect(warnings).toEqual([expect.stringContaining('cannot write the record of the run')]);
});

test('records that cannot be listed or kept are warnings, and the run goes on', async () => {
  await mkdir(join(state.path, 'policies'));
  await writeFile(policyRunsDirectory(state.path, 'nightly'), 'not a directory');
  expect(await endKilledRuns('nightly', { stateDirectory: state.path, warn })).toEqual([]);
  const log = await open();
  expect(await log.end({ outcome: 'done', exitCode: 0 })).toMatchObject({ outcome: 'done' });
  expect(await read()).toEqual([]);
  expect(warnings).toEqual([
    expect.stringMatching(/^cannot list .*nightly, the records of runs: ENOTDIR/),
    expect.stringMatching(/^cannot write the record of the run: .*nightly/),
    expect.stringMatching(/^cannot list .*nightly, the records of runs: ENOTDIR/),
  ]);
});

test('a killed run is known although its record cannot be written anew, which is a warning', async () => {
  const log = await open();
  const directory = policyRunsDirectory(state.path, 'nightly');
  const killed = { ...log.run, process: { ...log.run.process, startTime: 1 } };
  const [name = ''] = await readdir(directory);
  await writeFile(join(directory, '20260101T000000000Z-1.json'), JSON.stringify(killed));
  await rm(join(directory, name));
  // What is in the way of its record can neither be read nor replaced.
  await mkdir(join(directory, name));
  expect(await endKilledRuns('nightly', { stateDirectory: state.path, warn })).toEqual([{ ...killed, outcome: 'killed' }]);
  expect(warnings.filter((each) => !each.startsWith('cannot read'))).toEqual([
    expect.stringMatching(/^cannot write the record of the run that began at 2\S+Z: there is something else than a regular file$/),
  ]);
});

function instance(name: string): PolicyRun['instances'][number] {
  return { name, source: '.', state: 'waiting', stores: [], problems: [], warnings: [] };
}
