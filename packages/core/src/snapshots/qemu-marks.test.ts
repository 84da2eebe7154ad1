import { createHash } from 'node:crypto';

import { connectNbd } from '@gantry/nbd';
import type { TemporaryDirectory, WritingGuest } from '@gantry/testkit';
import { makeSparseFile, makeTemporaryDirectory, startWritingGuest } from '@gantry/testkit';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { contentOf, DISK_BYTES, expectUntouched, qemuConfig, requestsOf, takeByQemu } from '../../test/snapshots/qemu-bench.ts';
import type { ChangeMark } from './provider.ts';
import { QmpClient } from './qemu/qmp-client.ts';
import type { SnapshotSet } from './snapshot-set.ts';

const { signal } = new AbortController();

let scratch: TemporaryDirectory;
let guest: WritingGuest;
const warnings: string[] = [];
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

interface Bench extends AsyncDisposable {
  /** @param since the mark of each disk, to say what has changed since then */
  take(since?: readonly ChangeMark[]): Promise<SnapshotSet>;
  readonly path: string;
}

async function openBench(): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const own = stack.use(await makeTemporaryDirectory());
  const directory = stack.use(await makeTemporaryDirectory());
  const all = stack.move();
  return {
    path: directory.path,
    take: (since) =>
      takeByQemu({
        config: qemuConfig(directory.path),
        state: own.path,
        warnings,
        requests: disks().flatMap((_, index) => requestsOf(disks(), { since: since?.[index] })[index] ?? []),
      }),
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

function marksOf(set: SnapshotSet): readonly ChangeMark[] {
  return set.snapshots.flatMap(({ changes }) => changes?.mark ?? []);
}

/** Why everything must be read, of each disk for which that is so. */
function reasons(set: SnapshotSet): readonly string[] {
  return set.snapshots.flatMap(({ changes }) => (changes?.since.known === false ? changes.since.reason : []));
}

/** Reads into `content` what a snapshot says has changed. @returns how much that was, bytes */
async function applyChanges(set: SnapshotSet, index: number, content: Buffer): Promise<number> {
  const { changes, nbd } = set.snapshots[index] ?? {};
  if (changes?.since.known !== true || nbd === undefined) throw new Error(`nothing is known of disk ${index}: ${reasons(set).join(', ')}`);
  await using client = await connectNbd({ address: { path: nbd.socket }, exportName: nbd.exportName, timeoutMs: 60_000 });
  let bytes = 0;
  for await (const { offset, length } of changes.since.ranges(signal)) {
    await client.read(offset, content.subarray(offset, offset + length));
    bytes += length;
  }
  return bytes;
}

async function contents(set: SnapshotSet): Promise<readonly Buffer[]> {
  return await Promise.all(set.snapshots.map((_, index) => contentOf(set, index)));
}

function digest(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

/** Applies the changes to the copies, and compares them with all that the snapshots have. @returns the most that was read of a disk, bytes */
async function expectSameAfterChanges(set: SnapshotSet, copies: readonly Buffer[]): Promise<number> {
  const read: number[] = [];
  for (const [index, copy] of copies.entries()) {
    read.push(await applyChanges(set, index, copy));
    expect(digest(copy), `disk ${index}`).toBe(digest(await contentOf(set, index)));
  }
  return Math.max(...read);
}

async function withQmp<T>(work: (client: QmpClient) => Promise<T>): Promise<T> {
  await using client = await QmpClient.connect(scratch.file('qmp'), { timeoutMs: 60_000, signal });
  return await work(client);
}

/** The marks that a QEMU has of one disk, by name, and where they are. */
async function marksInQemu(): Promise<ReadonlyMap<string, string>> {
  const nodes = await withQmp((client) => client.execute('query-named-block-nodes', { flat: true }));
  const found = new Map<string, string>();
  for (const node of Array.isArray(nodes) ? nodes : [])
    for (const { name } of node['dirty-bitmaps'] ?? []) found.set(String(name), String(node['node-name']));
  return found;
}

async function removeMark(name: string): Promise<void> {
  const node = (await marksInQemu()).get(name);
  await withQmp((client) => client.execute('block-dirty-bitmap-remove', { node, name }));
}

describe('what changed since a mark', () => {
  test('is all that must be read to get from one moment to another, of each disk', async () => {
    await using bench = await openBench();
    let copies: readonly Buffer[];
    let marks: readonly ChangeMark[];
    {
      await using first = await bench.take();
      expect(reasons(first)).toEqual(['there is no earlier mark', 'there is no earlier mark']);
      copies = await contents(first);
      marks = marksOf(first);
      await first.commitMarks();
    }
    for (let round = 0; round < 2; round += 1) {
      await guest.reaches(guest.written() + 20);
      await using next = await bench.take(marks);
      // What it writes from here on belongs to the next round.
      await guest.reaches(guest.written() + 10);
      const bytes = await expectSameAfterChanges(next, copies);
      expect(bytes).toBeGreaterThan(0);
      expect(bytes).toBeLessThan(DISK_BYTES / 2);
      marks = marksOf(next);
      await next.commitMarks();
    }
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
    expect([...(await marksInQemu()).keys()].toSorted()).toEqual(marks.map(({ name }) => name).toSorted());
    for (const { name } of marks) await removeMark(name);
  });

  test('is still known of the earlier mark where the later snapshot was not committed', async () => {
    await using bench = await openBench();
    let copies: readonly Buffer[];
    let marks: readonly ChangeMark[];
    {
      await using first = await bench.take();
      copies = await contents(first);
      marks = marksOf(first);
      await first.commitMarks();
    }
    {
      await guest.reaches(guest.written() + 10);
      await using failed = await bench.take(marks);
      expect(reasons(failed)).toEqual([]);
      await guest.reaches(guest.written() + 10);
    }
    expect([...(await marksInQemu()).keys()].toSorted()).toEqual(marks.map(({ name }) => name).toSorted());
    await guest.reaches(guest.written() + 10);
    {
      await using next = await bench.take(marks);
      await expectSameAfterChanges(next, copies);
    }
    for (const { name } of marks) await removeMark(name);
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
  });

  test('is not known, and everything is read, where the mark is gone, switched off, in use or not ours; that one is not touched', async () => {
    await using bench = await openBench();
    let marks: readonly ChangeMark[];
    {
      await using first = await bench.take();
      marks = marksOf(first);
      await first.commitMarks();
    }
    const [one, other] = marks;
    if (one === undefined || other === undefined) throw new Error('no marks');
    await removeMark(one.name);
    const node = (await marksInQemu()).get(other.name);
    await withQmp((client) => client.execute('block-dirty-bitmap-disable', { node, name: other.name }));
    {
      await using set = await bench.take(marks);
      expect(reasons(set)).toEqual([expect.stringContaining('the mark is gone'), expect.stringContaining('switched off')]);
      expect(marksOf(set)).toHaveLength(2);
    }
    {
      await using set = await bench.take([
        { provider: 'qemu', name: 'theirs' },
        { provider: 'lvm', name: other.name },
      ]);
      expect(reasons(set)).toEqual(['"theirs" is not a mark of Gantry', 'the mark was left by the provider lvm']);
    }
    expect([...(await marksInQemu()).keys()]).toEqual([other.name]);
    await removeMark(other.name);
    await expectUntouched(bench.path, guest, scratch.file('qmp'));
  });
});
