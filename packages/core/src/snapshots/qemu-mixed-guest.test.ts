import { readFile, watch } from 'node:fs/promises';

import type { DiskStyle, TemporaryDirectory, WritingGuest } from '@gantry/testkit';
import {
  allWrittenUpTo,
  attachLoopDevice,
  countOf,
  makeExt4Image,
  makeSparseFile,
  makeTemporaryDirectory,
  PATIENTLY,
  startWritingGuest,
} from '@gantry/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { contents, expectSameAfterChanges, marksOf, reasons } from '../../test/snapshots/changes-bench.ts';
import { isFrozen, startFakeAgent } from '../../test/snapshots/fake-agent.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import type { Holder } from '../../test/snapshots/holder.ts';
import { holdSnapshots } from '../../test/snapshots/holder.ts';
import { expectUntouched, qemuConfig, requestsOf } from '../../test/snapshots/qemu-bench.ts';
import { contentOf, DISK_BYTES, MiB, takeInRun } from '../../test/snapshots/snapshot-bench.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import { pause } from '../system/pause.ts';
import type { ChangeMark } from './provider.ts';
import { createQemuProvider } from './qemu.ts';
import { QmpClient } from './qemu/qmp-client.ts';
import type { SnapshotSet } from './snapshot-set.ts';

/*
 * A guest with one disk of each kind, several writes in flight on each, and Debian's guest agent, which has a mounted ext4 to freeze.
 */

const { signal } = new AbortController();
/** How many runs are killed at random moments; scripts/kills.sh sets it. */
const KILLS = countOf('GANTRY_QEMU_KILLS', 2);
const IN_FLIGHT = 2;
const STYLES: readonly DiskStyle[] = ['drive', 'scsi-drive', 'node', 'scsi-node'];

let stack: AsyncDisposableStack;
let scratch: TemporaryDirectory;
let guest: WritingGuest;
/** Those with numbers; the last is a block device. */
let disks: readonly string[];
const warnings: string[] = [];
const files = (): string => scratch.file('files.img');
const agent = (): string => scratch.file('web1.qga');

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  scratch = stack.use(await makeTemporaryDirectory());
  const images = STYLES.map((style) => scratch.file(style));
  for (const image of images) await makeSparseFile(image, DISK_BYTES, []);
  const [last = ''] = images.splice(-1);
  const loop = stack.use(await attachLoopDevice(last));
  disks = [...images, loop.path];
  await makeExt4Image(files(), { bytes: DISK_BYTES, files: 1 });
  const options = { style: STYLES, inFlight: IN_FLIGHT, agent: { socket: agent(), files: files() } };
  guest = stack.use(await startWritingGuest({ directory: scratch.path, disks, qmp: scratch.file('qmp'), ...options }));
});

afterEach(() => {
  expect(warnings.splice(0)).toEqual([]);
});

afterAll(() => stack.disposeAsync());

interface TakeOptions {
  /** The mark of each disk, to say what has changed since then. */
  readonly since?: readonly ChangeMark[];
  readonly paths?: readonly string[];
  readonly config?: object;
  readonly notes?: string[];
}

interface Bench extends AsyncDisposable {
  take(options?: TakeOptions): Promise<SnapshotSet>;
  /** Where scratch files go. */
  readonly path: string;
}

async function openBench(): Promise<Bench> {
  await using owned = new AsyncDisposableStack();
  const own = owned.use(await makeTemporaryDirectory());
  const directory = owned.use(await makeTemporaryDirectory());
  const all = owned.move();
  return {
    path: directory.path,
    take: ({ since, paths = disks, config = {}, notes = [] } = {}) =>
      takeInRun({
        mode: 'qemu',
        config: qemuConfig(directory.path, { timeout: 60, ...config }),
        state: own.path,
        warnings,
        notes,
        requests: requestsOf(paths, (index) => ({ since: since?.[index] })),
      }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function withQmp<T>(work: (client: QmpClient) => Promise<T>): Promise<T> {
  await using client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
  return await work(client);
}

/** Whether an ext4 was mounted and not frozen: then its journal must be replayed (`EXT4_FEATURE_INCOMPAT_RECOVER`). */
function needsRecovery(ext4: Buffer): boolean {
  expect(ext4.readUInt16LE(1024 + 0x38)).toBe(0xef53);
  return (ext4.readUInt32LE(1024 + 0x60) & 4) !== 0;
}

/** The marks that a QEMU has of one disk, by name, and where they are. */
async function marksInQemu(): Promise<ReadonlyMap<string, string>> {
  const nodes = await withQmp((client) => client.execute('query-named-block-nodes', { flat: true }));
  const found = new Map<string, string>();
  for (const node of Array.isArray(nodes) ? nodes : [])
    for (const { name } of node['dirty-bitmaps'] ?? []) found.set(String(name), String(node['node-name']));
  return found;
}

async function switchOff(name: string): Promise<void> {
  const node = (await marksInQemu()).get(name);
  await withQmp((client) => client.execute('block-dirty-bitmap-disable', { node, name }));
}

/** What a mark is called in its QEMU. */
function bitmapOf({ name }: ChangeMark): string {
  return name.split(' ')[0] ?? '';
}

async function removeMark(mark: ChangeMark): Promise<void> {
  await createQemuProvider().forgetMark?.(mark, signal);
}

test('is read at one moment of all its disks: virtio and SCSI, legacy drives and named nodes, files and a block device', async () => {
  await using bench = await openBench();
  await guest.reaches(8);
  const before = guest.written();
  const set = await bench.take();
  const after = guest.written();
  await guest.reaches(after + 8);
  const number = allWrittenUpTo(await contents(set), IN_FLIGHT);
  expect(number).toBeGreaterThanOrEqual(before);
  // One more batch may have been written and not said yet, and another half.
  expect(number).toBeLessThanOrEqual(after + 2 * IN_FLIGHT);
  await set[Symbol.asyncDispose]();
  await expectUntouched(bench.path, guest, scratch.file('qmp'));
});

describe('its agent', () => {
  test('freezes it around the moment only: a mounted file system is clean then, and in use before and after', async () => {
    await using bench = await openBench();
    const notes: string[] = [];
    const moments: boolean[] = [];
    for (const config of [{}, { agent: `${scratch.path}/{instance}.qga` }, {}]) {
      await using set = await bench.take({ paths: [...disks, files()], config, notes });
      moments.push(needsRecovery(await contentOf(set, disks.length)));
    }
    expect(moments).toEqual([true, false, true]);
    const note = notes.find((each) => each.startsWith('the file systems'));
    expect(note).toMatch(/^the file systems of the guest were frozen for \d+ ms$/);
    console.log(note);
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
  });

  test('that is absent or hangs fails the export with what it is, and nothing is left', async () => {
    await using bench = await openBench();
    await using own = await makeTemporaryDirectory();
    await expect(bench.take({ config: { agent: own.file('none') } })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringMatching(/^cannot take a qemu snapshot of disk 0, 1, 2, 3: the guest agent at .*none cannot be reached: /),
      hint: expect.stringContaining('qemu-guest-agent'),
    });
    await using hanging = await startFakeAgent(own.file('qga'), { hangs: ['guest-sync-delimited'] });
    await expect(bench.take({ config: { agent: own.file('qga'), timeout: 1 } })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('did not answer in time'),
    });
    expect(hanging.heard).toEqual(['guest-sync-delimited']);
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
  });

  test('thaws it at once when the run that froze it is killed, before any other run', async () => {
    await using own = await makeTemporaryDirectory();
    await using directory = await makeTemporaryDirectory();
    await using fake = await startFakeAgent(own.file('qga'), { hangs: ['guest-fsfreeze-freeze'] });
    const run = startRun(own.file('state'), directory.path, { agent: own.file('qga'), frozen: 60 });
    await fake.hears('guest-fsfreeze-freeze');
    await run.kill();
    await fake.hears('guest-fsfreeze-thaw');
    await clear(own.file('state'));
    await expectUntouched(directory.path, guest, scratch.file('qmp'));
  });
});

describe('what changed since a mark', () => {
  test('is all that must be read to get from one moment to another, of each disk', async () => {
    await using bench = await openBench();
    let copies: readonly Buffer[];
    let marks: readonly ChangeMark[];
    {
      await using first = await bench.take();
      expect(reasons(first)).toEqual(disks.map(() => 'there is no earlier mark'));
      copies = await contents(first);
      marks = marksOf(first);
      await first.settleMarks(() => 'latest');
    }
    for (let round = 0; round < 2; round += 1) {
      await guest.reaches(guest.written() + 6);
      await using next = await bench.take({ since: marks });
      // What it writes from here on belongs to the next round.
      await guest.reaches(guest.written() + 6);
      const bytes = await expectSameAfterChanges(next, copies);
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThan(DISK_BYTES / 2);
      marks = marksOf(next);
      await next.settleMarks(() => 'latest');
    }
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
    expect([...(await marksInQemu()).keys()].toSorted()).toEqual(marks.map(bitmapOf).toSorted());
    for (const mark of marks) await removeMark(mark);
  });

  test('is still known of the earlier mark where the later snapshot was not committed', async () => {
    await using bench = await openBench();
    let copies: readonly Buffer[];
    let marks: readonly ChangeMark[];
    {
      await using first = await bench.take();
      copies = await contents(first);
      marks = marksOf(first);
      await first.settleMarks(() => 'latest');
    }
    {
      await guest.reaches(guest.written() + 6);
      await using failed = await bench.take({ since: marks });
      expect(reasons(failed)).toEqual([]);
      await guest.reaches(guest.written() + 6);
    }
    expect([...(await marksInQemu()).keys()].toSorted()).toEqual(marks.map(bitmapOf).toSorted());
    await guest.reaches(guest.written() + 6);
    {
      await using next = await bench.take({ since: marks });
      await expectSameAfterChanges(next, copies);
    }
    for (const mark of marks) await removeMark(mark);
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
  });

  test('is not known, and everything is read, where the mark is gone, switched off, in use or not ours; that one is not touched', async () => {
    await using bench = await openBench();
    let marks: readonly ChangeMark[];
    {
      await using first = await bench.take({ paths: disks.slice(0, 2) });
      marks = marksOf(first);
      await first.settleMarks(() => 'latest');
    }
    const [one, other] = marks;
    if (one === undefined || other === undefined) throw new Error('no marks');
    await removeMark(one);
    await switchOff(bitmapOf(other));
    {
      await using set = await bench.take({ paths: disks.slice(0, 2), since: marks });
      expect(reasons(set)).toEqual([expect.stringContaining('the mark is gone'), expect.stringContaining('switched off')]);
      expect(marksOf(set)).toHaveLength(2);
    }
    {
      await using set = await bench.take({
        paths: disks.slice(0, 2),
        since: [
          { provider: 'qemu', name: 'theirs' },
          { provider: 'lvm', name: other.name },
        ],
      });
      expect(reasons(set)).toEqual(['"theirs" is not a mark of Gantry', 'the mark was left by the provider lvm']);
    }
    expect([...(await marksInQemu()).keys()]).toEqual([bitmapOf(other)]);
    for (let round = 0; round < 2; round += 1) await removeMark(other);
    expect([...(await marksInQemu()).keys()]).toEqual([]);
    // With its QEMU, the mark is gone.
    await removeMark({ ...other, name: `${bitmapOf(other)} ${bench.path}/none` });
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
  });
});

test(
  `a run that is killed at any moment leaves what the next one clears; the guest goes on, thawed, and its marks too (${KILLS} times)`,
  { timeout: 600_000 + KILLS * 60_000 },
  async () => {
    await using bench = await openBench();
    await using first = await bench.take();
    const copies = await contents(first);
    const marks = marksOf(first);
    await first.settleMarks(() => 'latest');
    await first[Symbol.asyncDispose]();
    for (let round = 0; round < KILLS; round += 1) {
      await using state = await makeTemporaryDirectory();
      await using directory = await makeTemporaryDirectory();
      const started = untilSomethingIn(directory.path);
      const run = startRun(state.path, directory.path, { agent: agent() }, marks);
      await Promise.race([started, run.ended]);
      // All steps take some hundred ms; afterwards it waits.
      await pause(Math.random() * 1200);
      await run.kill();
      await clear(state.path);
      expect(await isFrozen(agent())).toBe(false);
      await expectUntouched(directory.path, guest, scratch.file('qmp'));
    }
    await using last = await bench.take({ since: marks });
    await expectSameAfterChanges(last, copies);
    await last.settleMarks(() => 'latest');
    const left = marksOf(last);
    await last[Symbol.asyncDispose]();
    for (const mark of left) await removeMark(mark);
    expect([...(await marksInQemu()).keys()]).toEqual([]);
  },
);

/** A process that takes snapshots of the disks, and holds them. */
function startRun(state: string, directory: string, more: object, since?: readonly ChangeMark[]): Holder {
  const config = { qemu: { scratch: directory, reserve: 1, timeout: 60, ...more } };
  return holdSnapshots({
    state,
    mode: 'qemu',
    config,
    disks,
    env: since === undefined ? {} : { GANTRY_TEST_SINCE: JSON.stringify(since) },
  });
}

async function clear(state: string): Promise<void> {
  const report = await recoverDeadRuns({ stateDirectory: await openStateDirectory(state), undos: undoHandlers(), signal });
  expect(report.leftovers.map(({ outcome, message }) => ({ outcome, message }))).toEqual([
    { outcome: 'cleared', message: expect.stringContaining('snapshot of disk 0, 1, 2, 3 in the QEMU') },
  ]);
}

async function untilSomethingIn(directory: string): Promise<void> {
  for await (const _ of watch(directory, { signal: AbortSignal.timeout(PATIENTLY.timeout) })) return;
}

/** The nodes of the disks, in their order, by the file that each has. */
async function nodesOf(marks: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const blocks = JSON.stringify(await withQmp((client) => client.execute('query-named-block-nodes', { flat: true })));
  const nodes: readonly { readonly 'node-name': string; readonly file: string }[] = JSON.parse(blocks);
  const marked = nodes.filter((node) => [...marks.values()].includes(node['node-name']));
  return disks.flatMap((disk) => marked.find(({ file }) => file === disk)?.['node-name'] ?? []);
}

test('incremental exports of the running guest go on from its marks, have one moment of all its disks, and leave one mark for each', async () => {
  await using directory = await makeTemporaryDirectory();
  await using bench = await makeOperationBench({});
  const instanceOf = (paths: readonly string[]) => sampleInstance({ os: 'raw', disks: paths.map((path) => ({ path, access: 'rw' })) });
  const said: string[] = [];
  const request = { instance: instanceOf(disks), snapshot: 'qemu', snapshotConfig: qemuConfig(directory.path, { timeout: 60 }) } as const;
  let written = 0;
  for (let round = 0; round < 3; round += 1) {
    await guest.reaches(guest.written() + 6);
    written = guest.written();
    const { reference, warnings } = await bench.exportDisks({
      ...request,
      incremental: true,
      trackChanges: true,
      onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk ') && said.push(event.message),
    });
    expect(warnings).toEqual([]);
    const copies = disks.map((_, index) => bench.directory.file(`copy${index}`));
    for (const copy of copies) await makeSparseFile(copy, DISK_BYTES, []);
    await bench.importDisks(reference, { instance: instanceOf(copies) });
    expect(allWrittenUpTo(await Promise.all(copies.map((copy) => readFile(copy))), IN_FLIGHT)).toBeGreaterThanOrEqual(written);
  }
  const [first, ...later] = [said.slice(0, disks.length), said.slice(disks.length)];
  expect(first?.every((each) => each.endsWith('everything is read: there is no earlier mark'))).toBe(true);
  expect(later.flat()).toHaveLength(2 * disks.length);
  for (const each of later.flat())
    expect(each).toMatch(/^disk \d: [1-9]\d* of \d+ bytes may have changed since web1\S+; \d+ of the other frames/);
  const marks = await marksInQemu();
  expect(marks.size).toBe(disks.length);

  // One disk is resized, and the mark of another is switched off.
  const nodes = await nodesOf(marks);
  await withQmp((client) => client.execute('block_resize', { 'node-name': nodes[0], size: DISK_BYTES + MiB }));
  await switchOff([...marks].find(([, node]) => node === nodes[1])?.[0] ?? '');
  said.length = 0;
  const { dumps } = await bench.exportDisks({
    ...request,
    incremental: true,
    trackChanges: true,
    onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk ') && said.push(event.message),
  });
  expect(said.toSorted().slice(0, 2)).toEqual([
    `disk 0: everything is read: it was resized from ${DISK_BYTES} to ${DISK_BYTES + MiB} bytes`,
    expect.stringContaining('disk 1: everything is read: the mark was switched off'),
  ]);
  expect(dumps.map(({ plainBytes }) => plainBytes)).toEqual([DISK_BYTES + MiB, DISK_BYTES, DISK_BYTES, DISK_BYTES]);
  await bench.exportDisks(request);
  expect([...(await marksInQemu()).keys()]).toEqual([]);
  await expectUntouched(directory.path, guest, scratch.file('qmp'));
});
