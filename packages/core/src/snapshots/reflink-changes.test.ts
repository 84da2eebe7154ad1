import { mkdir, open, readdir, readFile, rename, stat } from 'node:fs/promises';

import type { MountedFileSystem } from '@gantry/testkit';
import { makeSparseFile, mountNewBtrfs, mountNewXfs } from '@gantry/testkit';
import { execa } from 'execa';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

import { openWorkbench } from '../../test/snapshots/workbench.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import { holdSnapshots } from '../../test/snapshots/holder.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { FileExtent } from '../system/fiemap.ts';
import type { ChangeMark, Snapshot } from './provider.ts';
import { compareExtents } from './reflink-changes.ts';
import { createReflinkProvider } from './reflink.ts';
import type { SnapshotSet } from './snapshot-set.ts';

const MiB = 1024 * 1024;
const DISK_BYTES = 32 * MiB;
/** Runs within a second have different names in different processes only. */
let runs = 0;
const { signal } = new AbortController();

/** What a snapshot says has changed; a text if it cannot say. */
async function changesOf({ changes }: Snapshot): Promise<readonly { offset: number; length: number }[] | string> {
  if (changes === undefined) throw new Error('it was not asked');
  return changes.since.known ? await Array.fromAsync(changes.since.ranges(signal)) : changes.since.reason;
}

function only({ snapshots: [snapshot] }: SnapshotSet): Snapshot {
  if (snapshot === undefined) throw new Error('there is no snapshot');
  return snapshot;
}

describe.each([
  ['xfs', mountNewXfs],
  ['btrfs', mountNewBtrfs],
] as const)('clones on %s', (_, mountNew) => {
  let mounted: MountedFileSystem;

  beforeAll(async () => {
    mounted = await mountNew();
  });

  afterAll(() => mounted[Symbol.asyncDispose]());

  async function makeDisk(name: string): Promise<{ readonly path: string; readonly files: () => Promise<readonly string[]> }> {
    const directory = mounted.file(name);
    await mkdir(directory);
    const path = `${directory}/disk.img`;
    await makeSparseFile(path, DISK_BYTES, [
      { offset: 0, bytes: 2 * MiB, seed: 'a' },
      { offset: 20 * MiB, bytes: MiB, seed: 'b' },
    ]);
    return { path, files: async () => (await readdir(directory)).filter((file) => file !== 'disk.img') };
  }

  async function take(path: string, since?: ChangeMark) {
    const bench = await openWorkbench();
    const set = await bench.take('reflink', [], {
      run: { ...bench.run, id: `${bench.run.id}-${(runs += 1)}` },
      requests: [{ index: 0, disk: { path, access: 'rw' }, track: { since } }],
    });
    const end = async (): Promise<void> => {
      await set[Symbol.asyncDispose]();
      expect(bench.warnings).toEqual([]);
      await bench[Symbol.asyncDispose]();
    };
    return { ...set, [Symbol.asyncDispose]: end };
  }

  test('say what was written, filled and discarded since the kept one, and nothing else; one is kept', async () => {
    const { path, files } = await makeDisk('changes');
    let mark: ChangeMark | undefined;
    {
      await using first = await take(path);
      expect(await changesOf(only(first))).toBe('there is no earlier mark');
      mark = only(first).changes?.mark;
      await first.settleMarks(() => 'latest');
    }
    const [kept = ''] = await files();
    {
      await using disk = await open(path, 'r+');
      await disk.write(Buffer.alloc(4096, 1), 0, 4096, MiB);
      await disk.write(Buffer.alloc(100, 2), 0, 100, 12 * MiB);
    }
    await execa('fallocate', ['--punch-hole', '--offset', String(20 * MiB), '--length', String(MiB), path]);
    await execa('fallocate', ['--offset', String(30 * MiB), '--length', String(4096), path]);
    await using second = await take(path, mark);
    const said = await changesOf(only(second));
    if (typeof said === 'string') throw new Error(said);
    const [before, after] = [await readFile(`${mounted.file('changes')}/${kept}`), await readFile(path)];
    for (let at = 0; at < DISK_BYTES; at += 4096) {
      const isSaid = said.some(({ offset, length }) => offset <= at && at < offset + length);
      const differs = !before.subarray(at, at + 4096).equals(after.subarray(at, at + 4096));
      // What is allocated and was never written is zeros, too.
      if (at !== 30 * MiB) expect(isSaid, `block at ${at}`).toBe(differs);
    }
    expect(await files()).toHaveLength(2);
    await second.settleMarks(() => 'latest');
    await second[Symbol.asyncDispose]();
    expect(await files()).toEqual([expect.stringContaining('.disk.img.gantry-')]);
    expect(await files()).not.toEqual([kept]);
  });

  test('keep the earlier one if the export fails, and none if none is to be kept', async () => {
    const { path, files } = await makeDisk('fates');
    let mark: ChangeMark | undefined;
    {
      await using first = await take(path);
      mark = only(first).changes?.mark;
      await first.settleMarks(() => 'latest');
    }
    const [kept] = await files();
    await (await take(path, mark))[Symbol.asyncDispose]();
    expect(await files()).toEqual([kept]);
    {
      await using third = await take(path, mark);
      expect(await changesOf(only(third))).toEqual([]);
      await third.settleMarks(() => 'none');
    }
    expect(await files()).toEqual([]);
  });

  test('that were replaced, or are of a disk that was resized, say nothing; a mark that is of no use is removed', async () => {
    const { path, files } = await makeDisk('useless');
    const marks: ChangeMark[] = [];
    {
      await using first = await take(path);
      marks.push(...first.snapshots.flatMap(({ changes }) => changes?.mark ?? []));
      await first.settleMarks(() => 'latest');
    }
    const [mark] = marks;
    const [kept = ''] = await files();
    const clone = `${mounted.file('useless')}/${kept}`;
    await makeSparseFile(`${clone}.other`, DISK_BYTES);
    await rename(clone, `${clone}.away`);
    await rename(`${clone}.other`, clone);
    {
      await using second = await take(path, mark);
      expect(await changesOf(only(second))).toBe(`another process has changed or replaced ${clone}`);
    }
    await rename(`${clone}.away`, clone);
    await execa('truncate', ['--size', `+${MiB}`, path]);
    {
      await using third = await take(path, mark);
      expect(await changesOf(only(third))).toBe('the disk was resized');
    }
    const provider = createReflinkProvider();
    await provider.forgetMark?.({ provider: 'reflink', name: `1 2 ${clone}` }, signal);
    expect((await stat(clone)).size).toBe(DISK_BYTES);
    for (let round = 0; round < 2; round += 1) await provider.forgetMark?.(mark ?? { provider: '', name: '' }, signal);
    expect(await files()).toEqual([]);
  });

  test('of a disk that is on another file system now say nothing: its data may be at the same places there', async () => {
    const { path } = await makeDisk('moved');
    let mark: ChangeMark | undefined;
    {
      await using first = await take(path);
      mark = only(first).changes?.mark;
      await first.settleMarks(() => 'latest');
    }
    await using other = await mountNew();
    await makeSparseFile(other.file('disk.img'), DISK_BYTES);
    await using second = await take(other.file('disk.img'), mark);
    expect(await changesOf(only(second))).toMatch(/^the disk is on another file system than the clone \S+ of the earlier export$/);
  });

  test('of a killed run go, and the one that it went on from stays', async () => {
    const { path, files } = await makeDisk('killed');
    let mark: ChangeMark | undefined;
    {
      await using first = await take(path);
      mark = only(first).changes?.mark;
      await first.settleMarks(() => 'latest');
    }
    const kept = await files();
    const state = mounted.file('state');
    const holder = holdSnapshots({ state, mode: 'reflink', disks: [path], env: { GANTRY_TEST_SINCE: JSON.stringify([mark]) } });
    await holder.said;
    expect(await files()).toHaveLength(2);
    await holder.kill();
    await recoverDeadRuns({ stateDirectory: await openStateDirectory(state), undos: undoHandlers(), signal });
    expect(await files()).toEqual(kept);
  });
});

test('what two files have in the same place is unchanged, and everything else is not', () => {
  const extents = fc
    .array(
      fc.record({
        gap: fc.nat({ max: 2 }),
        length: fc.integer({ min: 1, max: 4 }),
        place: fc.nat({ max: 3 }),
        flags: fc.constantFrom(0, 0, 0, 8),
      }),
      {
        maxLength: 8,
      },
    )
    .map((parts) => {
      let at = 0;
      return parts.map(({ gap, length, place, flags }): FileExtent => {
        const offset = at + gap;
        at = offset + length;
        return { offset, length, physical: BigInt(offset + place * 100), flags };
      });
    });
  const placeAt = (list: readonly FileExtent[], at: number): bigint | string => {
    const found = list.find(({ offset, length }) => offset <= at && at < offset + length);
    if (found === undefined) return 'hole';
    return found.flags === 0 ? found.physical + BigInt(at - found.offset) : `unknown ${Math.random()}`;
  };
  fc.assert(
    fc.property(extents, extents, (earlier, later) => {
      const said = [...compareExtents({ offset: 0, length: 40 }, earlier, later)];
      for (let at = 0; at < 40; at += 1) {
        const isSaid = said.some(({ offset, length }) => offset <= at && at < offset + length);
        expect(isSaid).toBe(placeAt(earlier, at) !== placeAt(later, at));
      }
      for (const [index, { offset, length }] of said.entries()) {
        expect(length).toBeGreaterThan(0);
        expect(offset).toBeGreaterThan(index === 0 ? -1 : (said[index - 1]?.offset ?? 0) + (said[index - 1]?.length ?? 0));
      }
    }),
  );
});
