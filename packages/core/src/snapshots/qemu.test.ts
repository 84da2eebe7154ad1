import { once } from 'node:events';
import { readdir, readFile, rename, stat } from 'node:fs/promises';
import { connect, createServer, Socket } from 'node:net';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';

import type { TemporaryDirectory, WritingGuest } from '@gantry/testkit';
import {
  ALL_VARIANTS,
  makeSparseFile,
  makeTemporaryDirectory,
  mountNewTmpfs,
  startGuest,
  startWritingGuest,
  writeOsDefinitions,
  writtenUpTo,
} from '@gantry/testkit';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';

import { sampleInstance } from '../../test/sample-instance.ts';
import { holdSnapshots } from '../../test/snapshots/holder.ts';
import { expectSameAfterChanges } from '../../test/snapshots/changes-bench.ts';
import { expectUntouched as expectLeftAlone, qemuConfig, requestsOf } from '../../test/snapshots/qemu-bench.ts';
import type { Taking } from '../../test/snapshots/snapshot-bench.ts';
import { contentOf, DISK_BYTES, MiB, takeInRun } from '../../test/snapshots/snapshot-bench.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { exportInstance } from '../operations/export.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { SnapshotContext, SnapshotRecord, SnapshotRequest } from './provider.ts';
import { createQemuProvider } from './qemu.ts';
import { QemuProcesses } from './qemu/find-monitor.ts';
import { whyNotOfMoment } from './qemu/hold-disks.ts';
import type { Monitor } from './qemu/qmp-client.ts';
import { QmpClient } from './qemu/qmp-client.ts';
import { readRecord, toRecord } from './qemu/qemu-record.ts';
import { defaultScratch } from './scratch-directory.ts';
import type { SnapshotSet } from './snapshot-set.ts';

const { signal } = new AbortController();

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

const requests = (): readonly SnapshotRequest[] => requestsOf(disks());

const warnings: string[] = [];

function take(taking: Omit<Taking, 'mode' | 'warnings' | 'requests'> & Partial<Pick<Taking, 'requests'>>): Promise<SnapshotSet> {
  return takeInRun({ mode: 'qemu', requests: requests(), ...taking, warnings });
}

async function ask(command: string, parameters?: Readonly<Record<string, unknown>>): Promise<unknown> {
  await using client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
  return await client.execute(command, parameters);
}

function contextOf(runId: string, records: SnapshotRecord[], notes: string[] = []): SnapshotContext {
  return {
    runId,
    instanceName: 'web1',
    remember: async (record) => void records.push(record),
    warn: (message) => warnings.push(message),
    note: (message) => notes.push(message),
    signal,
  };
}

/** Nothing of ours is left in the QEMU, and the guest writes on. */
const expectUntouched = (directory: string): Promise<void> => expectLeftAlone(directory, guest, scratch.file('qmp'));

describe('a guest that writes numbered blocks to two disks', () => {
  test('is read at one moment of both, while it writes on; the pause is reported; nothing is left', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const notes: string[] = [];
    await guest.reaches(20);
    const before = guest.written();
    const set = await take({ config: qemuConfig(directory.path), state: own.path, notes });
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
    const set = await take({ config: qemuConfig(directory.path), state: own.path });
    const reading = new AbortController();
    reading.signal.addEventListener('piece', () => reading.abort(new Error('enough')));
    await expect(contentOf(set, 0, reading)).rejects.toThrow('enough');
    expect(writtenUpTo(await contentOf(set, 0))).toBeGreaterThan(0);
    await set[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test.each(ALL_VARIANTS ? ['raw', 'cat'] : ['raw'])('is exported by the definition %s, and the export has that moment', async (os) => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const store = new MemoryStore();
    await writeOsDefinitions(own.file('os'), ['cat']);
    const disksOf = disks().map((path) => ({ path, access: 'rw' as const }));
    const result = await exportInstance({
      instance: sampleInstance({ name: 'web1.example.com', os, disks: disksOf }),
      osSearchPath: [own.file('os')],
      store,
      snapshot: 'qemu',
      guest: { kind: 'qmp', socket: scratch.file('qmp') },
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
    const set = await take({ config: qemuConfig(small.path, { reserve: 1 }), state: own.path });
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
    await expect(take({ config: qemuConfig(small.path, { reserve: 64 }), state: own.path })).rejects.toMatchObject({
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
    await expect(take({ config: qemuConfig(directory.path), state: own.file('state') })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('NBD server already running'),
    });
    const client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
    await client.execute('nbd-server-stop');
    await client[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test('is exported where QMP is busy when all is read, and free again a moment later', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const set = await take({ config: qemuConfig(directory.path), state: own.path });
    const [qmp, real] = [scratch.file('qmp'), scratch.file('qmp.real')];
    await rename(qmp, real);
    let clients = 0;
    const monitor = createServer((client) => {
      clients += 1;
      if (clients === 1) return void client.destroy();
      const through = connect({ path: real });
      client.on('error', () => through.destroy()).pipe(through);
      through.on('error', () => client.destroy()).pipe(client);
    });
    try {
      monitor.listen(qmp);
      await once(monitor, 'listening');
      expect(writtenUpTo(await contentOf(set, 0))).toBeGreaterThan(0);
      expect(clients).toBe(2);
    } finally {
      const closed = once(monitor, 'close');
      monitor.close();
      await closed;
      await rename(real, qmp);
    }
    await set[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test('is not supported where another QMP client is connected: that one is not disturbed', async () => {
    await using directory = await makeTemporaryDirectory();
    const other = connect({ path: scratch.file('qmp') });
    await once(other, 'data');
    const provider = createQemuProvider({ config: qemuConfig(directory.path, { timeout: 1 }) });
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    expect(await provider.supports(request, signal)).toEqual({ ok: false, reason: expect.stringContaining('one client at a time') });
    const closed = once(other, 'close');
    other.destroy();
    await closed;
    expect(await provider.supports(request, signal)).toMatchObject({ ok: true });
  });

  test('leaves files for scripts when the run is killed; the next one removes them and what they show', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const config = { qemu: { scratch: directory.path, reserve: 1 } };
    const env = { GANTRY_TEST_NEEDS_PATH: '1' };
    const holder = holdSnapshots({ state: own.path, mode: 'qemu', config, disks: disks(), env });
    const files: readonly string[] = JSON.parse(await holder.said);
    await holder.kill();
    expect(writtenUpTo(await readFile(files[0] ?? ''))).toBeGreaterThan(0);
    const report = await recoverDeadRuns({ stateDirectory: await openStateDirectory(own.path), undos: undoHandlers(), signal });
    expect(report.leftovers.map(({ outcome, message }) => ({ outcome, message }))).toEqual([
      { outcome: 'cleared', message: expect.stringContaining('files for scripts of the snapshot of disk 0, 1 in') },
      { outcome: 'cleared', message: expect.stringContaining('snapshot of disk 0, 1 in the QEMU') },
    ]);
    await expect(stat(dirname(files[0] ?? ''))).rejects.toThrow('ENOENT');
    await expectUntouched(directory.path);
  });

  test('is supported by a socket from the configuration too', async () => {
    await using directory = await makeTemporaryDirectory();
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    const configured = createQemuProvider({ config: qemuConfig(directory.path, { qmp: `${scratch.path}/q{instance}`, timeout: 60 }) });
    expect(await configured.supports({ ...request, instanceName: 'mp' }, signal)).toMatchObject({ ok: true });
    expect(await configured.supports({ ...request, instanceName: 'x' }, signal)).toEqual({
      ok: false,
      reason: expect.stringContaining('ENOENT'),
    });
    expect(await createQemuProvider().supports(request, signal)).toMatchObject({ ok: false });
  });

  test('is supported by the socket that the source of the instance names, unless the configuration names another', async () => {
    await using directory = await makeTemporaryDirectory();
    const [request] = requests();
    if (request === undefined) throw new Error('no disk');
    const answer = async (socket: string, more: object = {}): Promise<unknown> =>
      await createQemuProvider({ config: qemuConfig(directory.path, more), guest: { kind: 'qmp', socket } }).supports(request, signal);
    expect(await answer(scratch.file('qmp'))).toMatchObject({ ok: true });
    expect(await answer(scratch.file('none'))).toEqual({ ok: false, reason: expect.stringContaining(scratch.file('none')) });
    expect(await answer(scratch.file('none'), { qmp: scratch.file('qmp') })).toMatchObject({ ok: true });
  });

  test('needs no configuration where its source names the socket: scratch files have a place', async () => {
    await using own = await makeTemporaryDirectory();
    const set = await take({ guest: { kind: 'qmp', socket: scratch.file('qmp') }, state: own.path });
    const [socket = ''] = set.snapshots.flatMap(({ nbd }) => nbd?.socket ?? []);
    const place = defaultScratch();
    expect(dirname(dirname(socket))).toBe(place);
    expect((await stat(place)).mode & 0o777).toBe(0o711);
    expect(writtenUpTo(await contentOf(set, 0))).toBeGreaterThan(0);
    await set[Symbol.asyncDispose]();
    await expect(stat(dirname(socket))).rejects.toThrow('ENOENT');
  });

  test.each([
    [1000, { XDG_CACHE_HOME: '/c' }, '/c/gantry/scratch'],
    [1000, { XDG_CACHE_HOME: 'c' }, join(homedir(), '.cache/gantry/scratch')],
    [0, {}, '/var/cache/gantry/scratch'],
  ])('has its scratch files of user %i with %j in %s', (uid, environment, expected) => {
    expect(defaultScratch(environment, uid)).toBe(expected);
  });

  test('has one process for all its disks: others are not looked through again', async () => {
    const processes = new QemuProcesses();
    expect(await processes.find(disks()[0], signal)).toEqual({ pid: guest.pid, qmp: scratch.file('qmp') });
    // Looking through all processes would reject.
    expect(await processes.find(disks()[1], AbortSignal.abort())).toMatchObject({ pid: guest.pid });
    await expect(processes.find(import.meta.filename, AbortSignal.abort(new Error('looked')))).rejects.toThrow('looked');
  });

  test('is paused for the moment if it runs then, and stays paused if somebody has paused it since everything was prepared', async () => {
    await using directory = await makeTemporaryDirectory();
    const provider = createQemuProvider({ config: qemuConfig(directory.path) });
    for (const [before, after] of [
      ['stop', 'cont'],
      ['cont', 'stop'],
    ] as const) {
      const records: SnapshotRecord[] = [];
      const notes: string[] = [];
      await ask(before);
      const prepared = await provider.prepare(requests(), contextOf(before, records, notes));
      await ask(after);
      await prepared.take();
      expect(notes.length).toBe(after === 'cont' ? 1 : 0);
      for (const record of records.slice(-1)) await provider.drop(record, signal);
      expect(await ask('query-status')).toMatchObject({ running: after === 'cont' });
    }
    await ask('cont');
    await expectUntouched(directory.path);
  });

  test('keeps in mind an NBD server that QEMU may start after the time for its answer', async () => {
    await using directory = await makeTemporaryDirectory();
    const provider = createQemuProvider({ config: qemuConfig(directory.path, { timeout: 10 }) });
    const records: SnapshotRecord[] = [];
    const context = contextOf('server', records);
    const remember = async (record: SnapshotRecord): Promise<void> => {
      await context.remember(record);
      if (readRecord(record).server) process.kill(guest.pid, 'SIGSTOP');
    };
    await expect(provider.prepare(requests(), { ...context, remember })).rejects.toThrow('did not answer nbd-server-start');
    process.kill(guest.pid, 'SIGCONT');
    const [last] = records.slice(-1);
    if (last === undefined) throw new Error('no record');
    expect(readRecord(last).server).toBe(true);
    await provider.drop(last, signal);
    await expectUntouched(directory.path);
  });

  test('that a killed run has left paused goes on with the next one', async () => {
    await using directory = await makeTemporaryDirectory();
    const client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
    await client.execute('stop');
    await client[Symbol.asyncDispose]();
    const data = {
      prefix: 'gantry-0123456789ab',
      directory: directory.file('gantry-0123456789ab'),
      disks: [],
      marks: [],
      marksKept: 'earlier' as const,
      server: true,
      paused: true,
    };
    await createQemuProvider().drop(toRecord({ ...data, qmp: scratch.file('qmp'), timeoutMs: 60_000 }), signal);
    await expectUntouched(directory.path);
  });
});

test('an image in qcow2 is exported as what the guest sees, if the instance says that it is one', async () => {
  await using own = await makeTemporaryDirectory();
  await using directory = await makeTemporaryDirectory();
  const image = own.file('c.qcow2');
  await execa('qemu-img', ['create', '-q', '-f', 'qcow2', image, String(DISK_BYTES)]);
  await execa('qemu-io', ['-f', 'qcow2', '-c', 'write -P 1 0 1M', image]);
  await ask('blockdev-add', { driver: 'qcow2', 'node-name': 'image', file: { driver: 'file', filename: image } });
  await ask('device_add', { driver: 'virtio-blk-pci', id: 'plugged', drive: 'image' });
  const config = qemuConfig(directory.path);
  const notes: string[] = [];
  const request = { index: 0, disk: { uri: `qcow2:${image}`, access: 'rw' }, instanceName: 'web1', track: {} } as const;
  const set = await take({ config, state: own.file('state'), requests: [request], notes });
  expect(notes).toContain('disk 0 is a qcow2 image: its export is a plain image of what the guest sees');
  expect(set.snapshots[0]?.bytes).toBe(DISK_BYTES);
  // As the guest would: through its device.
  const write = `qemu-io -d /machine/peripheral/plugged/virtio-backend "write -P 2 0 2M"`;
  await ask('human-monitor-command', { 'command-line': write });
  const expected = Buffer.alloc(DISK_BYTES).fill(1, 0, MiB);
  expect((await contentOf(set, 0)).equals(expected)).toBe(true);
  await set.settleMarks(() => 'latest');
  await set[Symbol.asyncDispose]();
  const since = set.snapshots[0]?.changes?.mark;
  {
    await using next = await take({ config, state: own.file('state'), requests: [{ ...request, track: { since } }] });
    expect(await expectSameAfterChanges(next, [expected])).toBe(2 * MiB);
  }
  const provider = createQemuProvider({ config });
  expect(await provider.supports({ ...request, disk: { path: image, access: 'rw' } }, signal)).toEqual({
    ok: false,
    reason: expect.stringContaining(`QEMU reads it as qcow2: with uri: qcow2:${image} in place of its path,`),
  });
  expect(await provider.supports({ ...request, disk: { uri: `vmdk:${image}`, access: 'rw' } }, signal)).toEqual({
    ok: false,
    reason: 'QEMU reads it as qcow2, and not as vmdk',
  });
});

test('a guest with I/O threads is refused, since QEMU could abort: it writes on', async () => {
  await using own = await makeTemporaryDirectory();
  await using directory = await makeTemporaryDirectory();
  const paths = [own.file('c.img'), own.file('d.img')] as const;
  for (const disk of paths) await makeSparseFile(disk, DISK_BYTES, []);
  await using other = await startWritingGuest({ directory: own.path, disks: paths, qmp: own.file('qmp'), style: 'iothread' });
  await expect(take({ config: qemuConfig(directory.path), requests: requestsOf(paths), state: own.file('state') })).rejects.toMatchObject({
    code: 'SNAPSHOT_UNSUPPORTED',
    message: expect.stringContaining('I/O threads'),
  });
  await expectLeftAlone(directory.path, other, own.file('qmp'));
});

test('what QEMU has, but cannot be held still this way, is refused with the reason', async () => {
  await using own = await makeTemporaryDirectory();
  const disk = own.file('disk');
  await makeSparseFile(disk, MiB, []);
  const provider = createQemuProvider({ config: qemuConfig(own.path) });
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

test('a QEMU in a chroot is refused: it does not see the scratch directory', async () => {
  await using own = await makeTemporaryDirectory();
  await using empty = await makeTemporaryDirectory();
  const disk = own.file('disk');
  await makeSparseFile(disk, MiB, []);
  await using machine = await startGuest(disk, { chroot: empty.path });
  const provider = createQemuProvider({ config: qemuConfig(own.path) });
  expect(await provider.supports({ index: 0, disk: { path: disk, access: 'rw' } }, signal)).toEqual({
    ok: false,
    reason: `its QEMU (process ${machine.pid}) does not see the scratch directory ${own.path}: it runs in a chroot, or with mounts of its own`,
  });
});

describe('a guest that migrates', () => {
  const migration = async (): Promise<unknown> => z.object({ status: z.string() }).parse(await ask('query-migrate')).status;

  test('while its disks are read stays: QEMU refuses to hand them over, and what is read is of one moment', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    const set = await take({ config: qemuConfig(directory.path), state: own.path });
    const before = await contentOf(set, 0);
    // For its QEMU, all is as if another host had its memory.
    await ask('migrate', { uri: 'exec:cat >/dev/null' });
    await expect.poll(migration).toBe('failed');
    await guest.reaches(guest.written() + 5);
    expect((await contentOf(set, 0)).equals(before)).toBe(true);
    await set[Symbol.asyncDispose]();
    await expectUntouched(directory.path);
  });

  test('nonetheless fails the export: another host may have written to its disks', async () => {
    const record = { prefix: 'gantry-0123456789ab', disks: [{ index: 0, qdev: '/machine/disk', node: 'disk' }] };
    const answers = (status: string, node: string): Monitor => ({
      execute: async (command) =>
        command === 'query-status'
          ? { status, running: false }
          : [
              {
                device: '',
                qdev: '/machine/disk',
                inserted: { 'node-name': node, drv: 'raw', image: { filename: '/a', 'virtual-size': 1 } },
              },
            ],
    });
    const filter = 'gantry-0123456789ab-cbw0';
    expect(await whyNotOfMoment(answers('running', filter), record)).toBeUndefined();
    expect(await whyNotOfMoment(answers('postmigrate', filter), record)).toBe(
      'the guest has migrated (postmigrate), and another host may have written to its disks',
    );
    // It is back, in another QEMU.
    expect(await whyNotOfMoment(answers('running', 'disk'), record)).toBe(
      'its QEMU does not keep what the guest overwrites any more (/machine/disk)',
    );
  });

  test('is not touched, and its migration goes on', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    // Takes the connection, and reads nothing.
    const server = createServer({ pauseOnConnect: true }).listen(own.file('there'));
    await once(server, 'listening');
    const connected = once(server, 'connection');
    await ask('migrate', { uri: `unix:${own.file('there')}` });
    const [socket] = z.tuple([z.instanceof(Socket)]).parse(await connected);
    await expect.poll(migration).toBe('active');
    await expect(take({ config: qemuConfig(directory.path), state: own.file('state') })).rejects.toMatchObject({
      message: expect.stringContaining('the guest migrates'),
    });
    expect(await migration()).toBe('active');
    await ask('migrate_cancel');
    await expect.poll(migration).toBe('cancelled');
    socket.destroy();
    server.close();
    await expectUntouched(directory.path);
  });
});

test('when the QEMU is killed the export fails, and the scratch files go', async () => {
  await using own = await makeTemporaryDirectory();
  await using directory = await makeTemporaryDirectory();
  const set = await take({ config: qemuConfig(directory.path), state: own.path });
  await guest.kill();
  await expect(contentOf(set, 0)).rejects.toMatchObject({
    code: 'SNAPSHOT_FAILED',
    message: 'the snapshot of disk 0 was lost while it was read: its QEMU has ended',
  });
  await set[Symbol.asyncDispose]();
  expect(await readdir(directory.path)).toEqual([]);
});
