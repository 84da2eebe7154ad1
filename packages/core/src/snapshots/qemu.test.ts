import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir, watch } from 'node:fs/promises';
import { connect } from 'node:net';
import { fileURLToPath } from 'node:url';

import type { TemporaryDirectory, WritingGuest } from '@gantry/testkit';
import {
  makeSparseFile,
  makeTemporaryDirectory,
  mountNewTmpfs,
  PATIENTLY,
  startGuest,
  startWritingGuest,
  writtenUpTo,
} from '@gantry/testkit';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { sampleInstance } from '../../test/sample-instance.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { openDiskSource } from '../flow/disk-source.ts';
import { exportInstance } from '../operations/export.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { openRun } from '../runs/journal.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { selectOs } from '../scripts/select.ts';
import { pause } from '../system/pause.ts';
import type { SnapshotRequest } from './provider.ts';
import { createQemuProvider } from './qemu.ts';
import { QmpClient } from './qemu/qmp-client.ts';
import { toRecord } from './qemu/qemu-record.ts';
import type { SnapshotConfig } from './snapshot-config.ts';
import { parseSnapshotConfig } from './snapshot-config.ts';
import type { SnapshotSet } from './snapshot-set.ts';
import { takeSnapshotSet } from './snapshot-set.ts';

const MiB = 1024 * 1024;
/** The names of our nodes. */
const OURS = /gantry-[0-9a-f]{12}-/;
/** 2 to the power of 14 blocks. */
const DISK_BYTES = 64 * MiB;
const { signal } = new AbortController();
const driver = fileURLToPath(import.meta.resolve('../../test/snapshots/hold-snapshots.ts'));
/** How many runs are killed at random moments: `GANTRY_QEMU_KILLS=200 vitest run …/qemu.test.ts`. */
const KILLS = Number(process.env['GANTRY_QEMU_KILLS'] ?? 4);

let scratch: TemporaryDirectory;
let guest: WritingGuest;
const disks = (): readonly [string, string] => [scratch.file('a.img'), scratch.file('b.img')];

beforeAll(async () => {
  scratch = await makeTemporaryDirectory();
  for (const disk of disks()) await makeSparseFile(disk, DISK_BYTES, []);
  guest = await startWritingGuest({ directory: scratch.path, disks: disks(), qmp: scratch.file('qmp') });
});

afterEach(() => {
  expect(warnings.splice(0)).toEqual([]);
});

afterAll(async () => {
  await guest[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

function config(directory: string, more: object = {}): SnapshotConfig {
  return parseSnapshotConfig(JSON.stringify({ qemu: { scratch: directory, reserve: 1, ...more } }), 'test');
}

function requests(paths: readonly string[] = disks()): readonly SnapshotRequest[] {
  return paths.map((path, index) => ({ index, disk: { path, access: 'rw' }, instanceName: 'web1' }));
}

interface Taking {
  readonly config: SnapshotConfig;
  readonly state: string;
  readonly notes?: string[];
  readonly requests?: readonly SnapshotRequest[];
}

const warnings: string[] = [];

async function take(taking: Taking): Promise<SnapshotSet> {
  const stateDirectory = await openStateDirectory(taking.state);
  const run = await openRun({ stateDirectory, operation: 'export', instance: 'web1' });
  const set = await takeSnapshotSet({
    mode: 'qemu',
    config: taking.config,
    instanceName: 'web1',
    requests: taking.requests ?? requests(),
    run,
    warn: (message) => warnings.push(message),
    stage: (message) => taking.notes?.push(message),
    signal,
  }).catch(async (error: unknown) => {
    await run[Symbol.asyncDispose]();
    throw error;
  });
  return {
    snapshots: set.snapshots,
    async [Symbol.asyncDispose]() {
      await set[Symbol.asyncDispose]();
      await run[Symbol.asyncDispose]();
    },
  };
}

/** What the built-in definition `raw` reads of a snapshot. */
async function contentOf(set: SnapshotSet, index: number, reading: AbortController = new AbortController()): Promise<Buffer> {
  const view = set.snapshots[index];
  if (view === undefined) throw new Error('no view');
  const os = await selectOs('raw', { searchPath: [] });
  const instance = sampleInstance({ disks: disks().map((path) => ({ path, access: 'rw' })) });
  await using source = openDiskSource(os, { instance, disk: index, view, diskBytes: DISK_BYTES, signal: reading.signal });
  const content = Buffer.alloc(DISK_BYTES);
  let at = 0;
  for (;;) {
    const piece = await source.read(content.subarray(at, at + FRAME_SIZE));
    if (piece === undefined) break;
    at += typeof piece === 'number' ? piece : piece.zeros;
    reading.signal.dispatchEvent(new Event('piece'));
  }
  expect(at).toBe(DISK_BYTES);
  return content;
}

/** Nothing of ours is left in the QEMU, and the guest writes on. */
async function expectUntouched(directory: string, one: WritingGuest = guest, qmp = scratch.file('qmp')): Promise<void> {
  await one.reaches(one.written() + 3);
  expect(await readdir(directory)).toEqual([]);
  await using client = await QmpClient.connect(qmp, { timeoutMs: 60_000, signal });
  expect(await client.execute('query-block-exports')).toEqual([]);
  expect(JSON.stringify(await client.execute('query-named-block-nodes', { flat: true }))).not.toMatch(OURS);
  expect(JSON.stringify(await client.execute('query-block'))).not.toMatch(OURS);
  // Else it would say that one runs.
  await client.execute('nbd-server-start', { addr: { type: 'unix', data: { path: `${directory}.sock` } } });
  await client.execute('nbd-server-stop');
}

describe('a guest that writes numbered blocks to two disks', () => {
  test('is read at one moment of both, while it writes on; the pause is reported; nothing is left', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const notes: string[] = [];
    await guest.reaches(20);
    const before = guest.written();
    const set = await take({ config: config(directory.path), state: own.path, notes });
    const after = guest.written();
    // All that it overwrites now must not be seen.
    await guest.reaches(after + 40);
    const [first, second] = [writtenUpTo(await contentOf(set, 0)), writtenUpTo(await contentOf(set, 1))];
    expect(first - second === 0 || first - second === 1, `${first} and ${second}`).toBe(true);
    expect(first).toBeGreaterThanOrEqual(before);
    // One more may have been written and not said yet.
    expect(first).toBeLessThanOrEqual(after + 2);
    expect(notes).toEqual([
      'snapshot of 2 disks (qemu)',
      expect.stringMatching(/^the guest was paused for \d+ ms to take snapshots of 2 disks$/),
      expect.stringMatching(/^2 snapshots taken within \d+ ms$/),
    ]);
    console.log(notes[1]);
    await set[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test('goes on when its reader leaves in the middle, and can be read again', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const set = await take({ config: config(directory.path), state: own.path });
    const reading = new AbortController();
    reading.signal.addEventListener('piece', () => reading.abort(new Error('enough')));
    await expect(contentOf(set, 0, reading)).rejects.toThrow('enough');
    expect(writtenUpTo(await contentOf(set, 0))).toBeGreaterThan(0);
    await set[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test('is exported by the definition raw, and the export has that moment', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const store = new MemoryStore();
    const disksOf = disks().map((path) => ({ path, access: 'rw' as const }));
    const result = await exportInstance({
      instance: sampleInstance({ name: 'web1.example.com', os: 'raw', disks: disksOf }),
      store,
      snapshot: 'qemu',
      snapshotConfig: config(directory.path),
      stateDirectory: own.path,
      createStore: true,
    });
    expect(result.warnings).toEqual([]);
    const [first = -1, second = -1] = await Promise.all(
      result.dumps.map(async ({ name, snapshot }) => {
        expect(snapshot).toBe('qemu');
        const key = `${result.instance}/${result.exportId}/${name}`;
        await using dump = await store.read(key);
        const stored = Buffer.concat(await Array.fromAsync(dump, (chunk) => Buffer.from(chunk)));
        const { stdout } = await execa('zstd', ['--decompress', '--stdout'], {
          input: stored,
          encoding: 'buffer',
          maxBuffer: 2 * DISK_BYTES,
        });
        return writtenUpTo(Buffer.from(stdout));
      }),
    );
    expect(first).toBeGreaterThan(0);
    expect(first - second === 0 || first - second === 1, `${first} and ${second}`).toBe(true);
    await expectUntouched(directory.path);
  });

  test('goes on when the scratch space is used up: the export fails, and says why', async () => {
    await using own = await makeTemporaryDirectory();
    await using small = await mountNewTmpfs(8 * MiB);
    const set = await take({ config: config(small.path, { reserve: 1 }), state: own.path });
    // Each number takes up to two clusters of 64 KiB.
    await guest.reaches(guest.written() + 150);
    await expect(contentOf(set, 0)).rejects.toMatchObject({
      code: 'SNAPSHOT_FULL',
      message: expect.stringContaining('less than 1 MiB are free'),
    });
    await set[Symbol.asyncDispose]();
    await expectUntouched(small.path);
    // Before it was full; whether a watch saw that depends on when it looked.
    for (const warning of warnings.splice(0)) expect(warning).toMatch(/^the scratch space in .* is \d+ % full/);
  });

  test('is not touched where the scratch directory is full before', async () => {
    await using own = await makeTemporaryDirectory();
    await using small = await mountNewTmpfs(8 * MiB);
    await expect(take({ config: config(small.path, { reserve: 64 }), state: own.path })).rejects.toMatchObject({
      code: 'SNAPSHOT_FULL',
      message: expect.stringMatching(/only \d MiB are free in the scratch directory .*, 128 are needed at least/),
    });
    await expectUntouched(small.path);
  });

  test('is not touched where QEMU serves NBD for somebody else, and that server stays', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const connected = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
    await connected.execute('nbd-server-start', { addr: { type: 'unix', data: { path: own.file('theirs') } } });
    await connected[Symbol.asyncDispose]();
    await expect(take({ config: config(directory.path), state: own.file('state') })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('NBD server already running'),
    });
    const client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
    await client.execute('nbd-server-stop');
    await client[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test('is not supported where another QMP client is connected: that one is not disturbed', async () => {
    await using directory = await makeTemporaryDirectory();
    const other = connect({ path: scratch.file('qmp') });
    await once(other, 'data');
    const provider = createQemuProvider({ config: config(directory.path, { timeout: 1 }) });
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    expect(await provider.supports(request, signal)).toEqual({ ok: false, reason: expect.stringContaining('one client at a time') });
    const closed = once(other, 'close');
    other.destroy();
    await closed;
    expect(await provider.supports(request, signal)).toMatchObject({ ok: true });
  });

  test('is supported by a socket from the configuration too, and not for scripts', async () => {
    await using directory = await makeTemporaryDirectory();
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    const configured = createQemuProvider({ config: config(directory.path, { qmp: `${scratch.path}/q{instance}`, timeout: 60 }) });
    expect(await configured.supports({ ...request, instanceName: 'mp' }, signal)).toMatchObject({ ok: true });
    expect(await configured.supports({ ...request, instanceName: 'x' }, signal)).toEqual({
      ok: false,
      reason: expect.stringContaining('ENOENT'),
    });
    expect(await configured.supports({ ...request, needsPath: true }, signal)).toEqual({
      ok: false,
      reason: expect.stringContaining('scripts cannot'),
    });
    expect(await createQemuProvider().supports(request, signal)).toMatchObject({ ok: false });
  });

  test('is supported by the socket that the source of the instance names, unless the configuration names another', async () => {
    await using directory = await makeTemporaryDirectory();
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    const answer = async (socket: string, more: object = {}): Promise<unknown> =>
      await createQemuProvider({ config: config(directory.path, more), guest: { kind: 'qmp', socket } }).supports(request, signal);
    expect(await answer(scratch.file('qmp'))).toMatchObject({ ok: true });
    expect(await answer(scratch.file('none'))).toEqual({ ok: false, reason: expect.stringContaining(scratch.file('none')) });
    expect(await answer(scratch.file('none'), { qmp: scratch.file('qmp') })).toMatchObject({ ok: true });
  });

  test('that a killed run has left paused goes on with the next one', async () => {
    await using directory = await makeTemporaryDirectory();
    const client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
    await client.execute('stop');
    await client[Symbol.asyncDispose]();
    const data = { prefix: 'gantry-0123456789ab', directory: directory.file('gantry-0123456789ab'), disks: [], server: true, paused: true };
    await createQemuProvider().drop(toRecord({ ...data, qmp: scratch.file('qmp'), timeoutMs: 60_000 }), signal);
    await expectUntouched(directory.path);
  });
});

test(
  `a run that is killed at any moment leaves what the next one clears, and the guest goes on (${KILLS} times)`,
  { timeout: 600_000 + KILLS * 30_000 },
  async () => {
    await using directory = await makeTemporaryDirectory();
    for (let round = 0; round < KILLS; round += 1) {
      await using state = await makeTemporaryDirectory();
      const { qemu } = config(directory.path, { timeout: 60 });
      const started = untilSomethingIn(directory.path);
      const child = execFile(process.execPath, [
        '--conditions=@gantry/source',
        driver,
        state.path,
        'qemu',
        JSON.stringify({ qemu }),
        ...disks(),
      ]);
      const ended = once(child, 'exit');
      await Promise.race([started, ended]);
      // All steps take some hundred ms; afterwards it waits.
      await pause(Math.random() * 250);
      child.kill('SIGKILL');
      await ended;
      const report = await recoverDeadRuns({ stateDirectory: await openStateDirectory(state.path), undos: undoHandlers(), signal });
      expect(report.leftovers.map(({ outcome, message }) => ({ outcome, message }))).toEqual([
        { outcome: 'cleared', message: expect.stringContaining('snapshot of disk 0, 1 in the QEMU') },
      ]);
      await expectUntouched(directory.path);
    }
  },
);

async function untilSomethingIn(directory: string): Promise<void> {
  for await (const _ of watch(directory, { signal: AbortSignal.timeout(PATIENTLY.timeout) })) return;
}

test('a guest with I/O threads is refused, since QEMU could abort: it writes on', async () => {
  await using own = await makeTemporaryDirectory();
  await using directory = await makeTemporaryDirectory();
  const paths = [own.file('c.img'), own.file('d.img')] as const;
  for (const disk of paths) await makeSparseFile(disk, DISK_BYTES, []);
  await using other = await startWritingGuest({ directory: own.path, disks: paths, qmp: own.file('qmp'), style: 'iothread' });
  await expect(take({ config: config(directory.path), requests: requests(paths), state: own.file('state') })).rejects.toMatchObject({
    code: 'SNAPSHOT_UNSUPPORTED',
    message: expect.stringContaining('I/O threads'),
  });
  await expectUntouched(directory.path, other, own.file('qmp'));
});

test('what QEMU has, but cannot be held still this way, is refused with the reason', async () => {
  await using own = await makeTemporaryDirectory();
  const disk = own.file('disk');
  await makeSparseFile(disk, MiB, []);
  const provider = createQemuProvider({ config: config(own.path) });
  const reason = async (path: string): Promise<string> => {
    const answer = await provider.supports({ index: 0, disk: { path, access: 'rw' } }, signal);
    return answer.ok ? 'supported' : answer.reason;
  };
  expect(await reason(disk)).toBe('no QEMU has it open for writing, as far as can be seen from here');
  await using machine = await startGuest(disk);
  expect(await reason(disk)).toBe(
    `the command line of the QEMU that has it open (process ${machine.pid}) names no QMP socket: name it in the snapshot configuration`,
  );
});

test('when the QEMU is killed the export fails, and the scratch files go', async () => {
  await using own = await makeTemporaryDirectory();
  await using directory = await makeTemporaryDirectory();
  const set = await take({ config: config(directory.path), state: own.path });
  await guest.kill();
  await expect(contentOf(set, 0)).rejects.toMatchObject({ code: 'DISK_IO' });
  await set[Symbol.asyncDispose]();
  expect(await readdir(directory.path)).toEqual([]);
});
