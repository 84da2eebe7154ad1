import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, mkdir, open, readdir, readFile, readlink, symlink, unlink, writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

import { makeTemporaryDirectory, PATIENTLY } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { isRunning } from '@gantry/transport';

import { tryFlock } from '../system/flock.ts';
import { identifyGroup, runningMembers } from '../system/process-group.ts';
import type { ScriptRecord } from '../scripts/undo-script.ts';
import { scriptUndo } from '../scripts/undo-script.ts';
import { freezeUndo } from '../snapshots/freeze.ts';
import type { SnapshotProvider, SnapshotRecord } from '../snapshots/provider.ts';
import { snapshotUndo } from '../snapshots/undo-snapshot.ts';
import { openRun } from './journal.ts';
import type { RecoveryOptions } from './recover.ts';
import { recoverDeadRuns } from './recover.ts';
import type { RunRecord } from './run-record.ts';
import type { StateDirectory } from './state-directory.ts';
import { openStateDirectory } from './state-directory.ts';
import type { Undo } from './undo.ts';

const driver = fileURLToPath(import.meta.resolve('../../test/runs/remember.ts'));
const { signal } = new AbortController();
const snapshotRecord = (index: number): RunRecord => ({
  kind: 'snapshot',
  record: { provider: 'fake', index, description: `snapshot ${index}`, data: {} },
});

/** A provider that drops by noting it, or fails to. */
function fakeProvider(fails: (record: SnapshotRecord) => boolean = () => false): SnapshotProvider & { readonly dropped: number[] } {
  const dropped: number[] = [];
  return {
    name: 'fake',
    dropped,
    supports: async () => ({ ok: true, what: 'nothing' }),
    prepare: async () => ({ take: async () => undefined, open: async () => [] }),
    async drop(record) {
      if (fails(record)) throw new Error('device is busy');
      dropped.push(record.index);
    },
  };
}

async function withState(): Promise<{ stateDirectory: StateDirectory } & AsyncDisposable> {
  const scratch = await makeTemporaryDirectory();
  const stateDirectory = await openStateDirectory(scratch.file('state'));
  return { stateDirectory, [Symbol.asyncDispose]: () => scratch[Symbol.asyncDispose]() };
}

/** A run of another process that remembers the records and is killed. */
async function killedRun(stateDirectory: StateDirectory, records: readonly RunRecord[]): Promise<void> {
  const run = await liveRun(stateDirectory, records);
  await run.kill();
}

async function liveRun(stateDirectory: StateDirectory, records: readonly RunRecord[]): Promise<{ kill: () => Promise<void> }> {
  const child = execFile(process.execPath, ['--conditions=@gantry/source', driver, stateDirectory.path, JSON.stringify(records)]);
  const ended = once(child, 'exit');
  expect(await firstLine(child.stdout)).toBe('remembered');
  return {
    async kill() {
      child.kill('SIGKILL');
      await ended;
    },
  };
}

async function firstLine(stream: Readable | null): Promise<unknown> {
  if (stream === null) throw new Error('no output');
  const [line]: unknown[] = await once(createInterface(stream), 'line');
  return line;
}

const undosOf = (providers: readonly SnapshotProvider[]): readonly Undo[] => [
  scriptUndo,
  freezeUndo,
  snapshotUndo((kind) => providers.find(({ name }) => name === kind)),
];

/** Recovers, and returns the report with the messages. */
async function recover({
  providers = [],
  ...options
}: Partial<RecoveryOptions> & { stateDirectory: StateDirectory; providers?: readonly SnapshotProvider[] }) {
  const messages: string[] = [];
  const report = await recoverDeadRuns({ undos: undosOf(providers), signal, report: (message) => messages.push(message), ...options });
  return {
    ...report,
    outcomes: report.leftovers.map(({ outcome }) => outcome),
    leftovers: report.leftovers,
    damaged: report.damaged,
    messages,
  };
}

describe('snapshots of a killed run', () => {
  test('are dropped, the newest first, and named; afterwards nothing is left', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0), snapshotRecord(1)]);
    const provider = fakeProvider();
    const { messages, outcomes, leftovers } = await recover({ ...state, providers: [provider] });
    expect(provider.dropped).toEqual([1, 0]);
    expect(outcomes).toEqual(['cleared', 'cleared']);
    const what = expect.stringMatching(/^snapshot 1, which the interrupted export of instance web1 \(process \d+, started .*Z\) left$/);
    expect(leftovers[0]).toMatchObject({ operation: 'export', instance: 'web1', what });
    expect(messages[0]).toMatch(/^cleared snapshot 1, which the interrupted export of instance web1 \(process \d+, started .*Z\) left$/);
    expect(await readdir(state.stateDirectory.runs)).toEqual([]);
  });

  test('are only named where they are only to be listed', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    const provider = fakeProvider();
    const { outcomes, messages } = await recover({ ...state, providers: [provider], mode: 'list' });
    expect(outcomes).toEqual(['found']);
    expect(messages).toEqual([expect.stringContaining('left snapshot 0')]);
    expect(provider.dropped).toEqual([]);
    expect(await readdir(state.stateDirectory.runs)).toHaveLength(1);
  });

  test('that cannot be dropped are named with the reason, and tried again the next time', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0), snapshotRecord(1)]);
    const first = await recover({ ...state, providers: [fakeProvider(({ index }) => index === 1)] });
    expect(first.outcomes).toEqual(['kept', 'cleared']);
    expect(first.messages[0]).toContain('could not be cleared: device is busy');
    const provider = fakeProvider();
    const second = await recover({ ...state, providers: [provider] });
    expect(provider.dropped).toEqual([1]);
    expect(second.outcomes).toEqual(['cleared']);
    expect(await readdir(state.stateDirectory.runs)).toEqual([]);
  });

  test('of a provider that is not known here are kept', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    const { messages } = await recover({ ...state });
    expect(messages[0]).toContain('this version of Gantry does not know snapshots of the kind fake');
    expect(await readdir(state.stateDirectory.runs)).toHaveLength(1);
  });
});

/** Whether a recovery in this process has had its turn, and has the journal open beside ourselves. */
async function isBeingCleared({ locks }: StateDirectory, journal: string): Promise<boolean> {
  const hasTurn = (await readdir(locks)).some((name) => name.startsWith('recovery.') && name.endsWith('.holder'));
  const open = (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => ''));
  return hasTurn && (await Promise.all(open)).filter((target) => target === journal).length > 1;
}

describe('a run that lives', () => {
  test('is left alone, in another process and in this one', async () => {
    await using state = await withState();
    const other = await liveRun(state.stateDirectory, [snapshotRecord(0)]);
    await using mine = await openRun({ ...state, operation: 'export', instance: 'web2' });
    const id = await mine.remember(snapshotRecord(1));
    const provider = fakeProvider();
    for (const mode of ['list', 'clear'] as const) {
      expect((await recover({ ...state, providers: [provider], mode })).messages).toEqual([]);
    }
    expect(provider.dropped).toEqual([]);
    await mine.forget(id);
    await other.kill();
  });

  test('is left alone too while another that is dead is cleared', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    await using mine = await openRun({ ...state, operation: 'export', instance: 'web2' });
    const id = await mine.remember(snapshotRecord(1));
    const provider = fakeProvider();
    await recover({ ...state, providers: [provider] });
    expect(provider.dropped).toEqual([0]);
    await mine.forget(id);
  });

  test('that ends while its journal is looked at leaves nothing to do', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    const [name = ''] = await readdir(state.stateDirectory.runs);
    const path = `${state.stateDirectory.runs}/${name}`;
    const lister = await open(path, 'r');
    expect(tryFlock(lister.fd, 'shared')).toBe(true);
    const provider = fakeProvider();
    const recovering = recover({ ...state, providers: [provider] });
    await expect.poll(() => isBeingCleared(state.stateDirectory, path), { ...PATIENTLY, interval: 1 }).toBe(true);
    await unlink(path);
    await lister.close();
    expect((await recovering).outcomes).toEqual([]);
    expect(provider.dropped).toEqual([]);
  });

  test('that could not undo something has it cleared by the next run of the same process', async () => {
    await using state = await withState();
    {
      await using run = await openRun({ ...state, operation: 'export', instance: 'web1' });
      await run.remember(snapshotRecord(7));
    }
    const provider = fakeProvider();
    await recover({ ...state, providers: [provider] });
    expect(provider.dropped).toEqual([7]);
  });
});

describe('several recoveries at once', () => {
  test('clear each thing once, and all wait until it is cleared', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    await killedRun(state.stateDirectory, [snapshotRecord(1)]);
    const drops: number[] = [];
    const slow: SnapshotProvider = {
      ...fakeProvider(),
      async drop({ index }) {
        await new Promise((resolve) => {
          setImmediate(resolve);
        });
        drops.push(index);
      },
    };
    const seen = await Promise.all(
      Array.from({ length: 5 }, async () => {
        await recover({ ...state, providers: [slow] });
        return drops.length;
      }),
    );
    expect(drops.toSorted((a, b) => a - b)).toEqual([0, 1]);
    expect(seen).toEqual([2, 2, 2, 2, 2]);
  });

  test('wait no longer when they are cancelled', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    const { promise: dropping, resolve: begin } = Promise.withResolvers<undefined>();
    const { promise: released, resolve: release } = Promise.withResolvers<undefined>();
    const held = recover({
      ...state,
      providers: [
        {
          ...fakeProvider(),
          async drop() {
            begin(undefined);
            await released;
          },
        },
      ],
    });
    await dropping;
    const cancel = new AbortController();
    const messages: string[] = [];
    const waiting = recoverDeadRuns({
      ...state,
      undos: undosOf([]),
      signal: cancel.signal,
      report(message) {
        messages.push(message);
        cancel.abort(new Error('enough'));
      },
    });
    await expect(waiting).rejects.toThrow('enough');
    expect(messages).toEqual([`waiting for process ${process.pid}, which is clearing what a killed run left`]);
    release(undefined);
    expect((await held).outcomes).toEqual(['cleared']);
  });
});

/** A script that ignores SIGTERM, with a child that does too; gives the group's first process. */
async function stubbornScript(): Promise<{ record: ScriptRecord; members: () => readonly number[] }> {
  const child = spawn('/bin/sh', ['-c', 'trap "" TERM; sleep 1000 & echo ready; wait'], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    env: { PATH: '/usr/bin:/bin', INSTANCE_NAME: 'web1', OS_API_VERSION: '20' },
  });
  await firstLine(child.stdout);
  const group = identifyGroup(child.pid ?? 0);
  return { record: { kind: 'script', ...group, script: '/os/export', operation: 'export' }, members: () => runningMembers(group) };
}

describe('processes of a killed run', () => {
  test('are ended with all that they started, whether they want to or not', async () => {
    await using state = await withState();
    const script = await stubbornScript();
    await killedRun(state.stateDirectory, [script.record]);
    expect((await recover({ ...state, mode: 'list' })).outcomes).toEqual(['found']);
    expect(script.members()).toHaveLength(2);
    const { messages } = await recover({ ...state });
    expect(script.members()).toEqual([]);
    expect(messages[0]).toContain(`cleared the process group ${script.record.pgid} of the export script /os/export`);
    expect(await readdir(state.stateDirectory.runs)).toEqual([]);
  });

  test('are ended too when the script itself has ended and left them', async () => {
    await using state = await withState();
    const script = await stubbornScript();
    process.kill(script.record.pgid, 'SIGKILL');
    await expect.poll(script.members, PATIENTLY).toHaveLength(1);
    await killedRun(state.stateDirectory, [script.record]);
    expect((await recover({ ...state })).outcomes).toEqual(['cleared']);
    expect(script.members()).toEqual([]);
  });

  test.each([
    ['it is of another start of the machine', { bootId: '00000000-0000-0000-0000-000000000000' }],
    ['it started at another time, so that its number belongs to somebody else', { startTime: 1 }],
  ])('are not touched when %s', async (_, difference) => {
    await using state = await withState();
    const script = await stubbornScript();
    await killedRun(state.stateDirectory, [{ ...script.record, ...difference }]);
    const { messages } = await recover({ ...state });
    expect(messages).toEqual([]);
    expect(script.members()).toHaveLength(2);
    expect(await readdir(state.stateDirectory.runs)).toEqual([]);
    process.kill(-script.record.pgid, 'SIGKILL');
  });

  test('are not touched when their first process has ended and they are of another instance', async () => {
    await using state = await withState();
    const script = await stubbornScript();
    process.kill(script.record.pgid, 'SIGKILL');
    await expect.poll(script.members, PATIENTLY).toHaveLength(1);
    const [member = 0] = script.members();
    expect(await readFile(`/proc/${member}/environ`, 'utf8')).toContain('INSTANCE_NAME=web1');
    await using run = await openRun({ ...state, operation: 'export', instance: 'other' });
    await run.remember(script.record);
    await run[Symbol.asyncDispose]();
    expect((await recover({ ...state })).messages).toEqual([]);
    expect(script.members()).toEqual([member]);
    process.kill(member, 'SIGKILL');
  });
});

describe('what another version of Gantry left', () => {
  test('is reported and kept where this version does not know it', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [{ kind: 'something-new', where: '/srv' }, snapshotRecord(0)]);
    const provider = fakeProvider();
    const { messages, outcomes } = await recover({ ...state, providers: [provider] });
    expect(outcomes).toEqual(['kept', 'cleared']);
    expect(messages[0]).toMatch(
      /^something of the kind "something-new", which .* could not be cleared: this version of Gantry does not know/,
    );
    expect(provider.dropped).toEqual([0]);
    expect(await readdir(state.stateDirectory.runs)).toHaveLength(1);
    expect((await recover({ ...state, mode: 'list' })).outcomes).toEqual(['found']);
  });

  test('is undone: a frozen instance stood in the first journals as a snapshot', async () => {
    await using state = await withState();
    await writeFile(`${state.stateDirectory.path}/frozen`, '');
    const data = { thaw: ['rm', `${state.stateDirectory.path}/frozen`], timeout: 60 };
    const record = { provider: 'freeze', index: -1, description: 'instance web1 frozen', data };
    await killedRun(state.stateDirectory, [{ kind: 'snapshot', record }]);
    const { messages, outcomes } = await recover({ ...state });
    expect(outcomes).toEqual(['cleared']);
    expect(messages[0]).toContain('cleared instance web1 frozen');
    expect(await readdir(state.stateDirectory.path)).not.toContain('frozen');
  });

  test.each([
    ['a process group that would mean everybody', { kind: 'script', pgid: 1, startTime: 1, bootId: 'b', script: 's', operation: 'o' }],
    ['a snapshot without a provider', { kind: 'snapshot', record: { index: 0 } }],
  ])('is kept, and nothing is done, where it cannot be read: %s', async (_, record) => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [record]);
    const { messages, outcomes } = await recover({ ...state });
    expect(outcomes).toEqual(['kept']);
    expect(messages[0]).toMatch(/^something of the kind "\w+" that cannot be read/);
  });
});

describe('journals', () => {
  test('that are damaged are reported and set aside, and the others are cleared anyway', async () => {
    await using state = await withState();
    const { runs } = state.stateDirectory;
    await writeFile(`${runs}/a.journal`, '{"not": "a journal"}\n');
    await writeFile(`${runs}/b.journal`, Buffer.from([0, 1, 2, 255, 10]));
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    const listed = await recover({ ...state, mode: 'list' });
    expect(listed.damaged).toEqual([`${runs}/a.journal`, `${runs}/b.journal`]);
    const provider = fakeProvider();
    const { damaged, messages } = await recover({ ...state, providers: [provider] });
    expect(damaged).toEqual([`${runs}/a.journal.damaged`, `${runs}/b.journal.damaged`]);
    expect(messages[0]).toBe(
      `the journal of a dead run cannot be read: line 1 is not a line of a journal; nothing was cleared, and it was set aside as ${runs}/a.journal.damaged`,
    );
    expect(provider.dropped).toEqual([0]);
    expect((await readdir(runs)).toSorted()).toEqual(['a.journal.damaged', 'b.journal.damaged']);
    expect((await recover({ ...state, providers: [provider] })).messages).toEqual([]);
    expect((await recover({ ...state, mode: 'list' })).damaged).toEqual(damaged);
  });

  test('that were cut short by the crash are cleared by what their whole lines say', async () => {
    await using state = await withState();
    await killedRun(state.stateDirectory, [snapshotRecord(0), snapshotRecord(1)]);
    const [name = ''] = await readdir(state.stateDirectory.runs);
    await appendFile(`${state.stateDirectory.runs}/${name}`, '{"remember":3,"record":{"kind":"snapshot","record":{"provider":"fake","ind');
    // The drop that fails leaves a journal that must be readable again.
    expect((await recover({ ...state, providers: [fakeProvider(({ index }) => index === 0)] })).outcomes).toEqual(['cleared', 'kept']);
    expect((await recover({ ...state, providers: [fakeProvider()] })).outcomes).toEqual(['cleared']);
  });

  test('that cannot be set aside are an error of the state directory', async () => {
    await using state = await withState();
    const { runs } = state.stateDirectory;
    await writeFile(`${runs}/a.journal`, '{"not": "a journal"}\n');
    await mkdir(`${runs}/a.journal.damaged`);
    await expect(recover({ ...state })).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/^cannot set aside the journal .*a\.journal: E/),
    });
  });

  test('that are cleared and cannot be removed are an error of the state directory', async () => {
    await using state = await withState();
    const { runs } = state.stateDirectory;
    await killedRun(state.stateDirectory, [snapshotRecord(0)]);
    await execa('chattr', ['+i', runs]);
    try {
      await expect(recover({ ...state, providers: [fakeProvider()] })).rejects.toMatchObject({
        code: 'STATE_UNUSABLE',
        message: expect.stringMatching(/^cannot remove the journal .*\.journal: EPERM/),
      });
    } finally {
      await execa('chattr', ['-i', runs]);
    }
    const provider = fakeProvider();
    expect((await recover({ ...state, providers: [provider] })).messages).toEqual([]);
    expect(provider.dropped).toEqual([]);
    expect(await readdir(runs)).toEqual([]);
  });

  test('that cannot be opened are an error of the state directory, and not passed over', async () => {
    await using state = await withState();
    await symlink('loop.journal', `${state.stateDirectory.runs}/loop.journal`);
    await expect(recover({ ...state })).rejects.toMatchObject({
      code: 'STATE_UNUSABLE',
      message: expect.stringMatching(/^cannot open the journal .*loop\.journal: ELOOP/),
    });
  });

  test('without a line in them mean nothing', async () => {
    await using state = await withState();
    await writeFile(`${state.stateDirectory.runs}/empty.journal`, '');
    const { messages } = await recover({ ...state });
    expect(messages).toEqual([]);
    expect(await readdir(state.stateDirectory.runs)).toEqual([]);
  });
});

test('a process is distinguished from another of the same number', async () => {
  const group = identifyGroup(process.pid);
  const { pid } = process;
  expect(await isRunning({ pid, ...group })).toBe(true);
  expect(await isRunning({ pid, ...group, startTime: group.startTime + 1 })).toBe(false);
  expect(await isRunning({ pid, ...group, bootId: 'other' })).toBe(false);
});
