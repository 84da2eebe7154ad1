import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';

import { makeSparseFile, mountNewXfs } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';

import { makeOperationBench } from '../../test/operation-bench.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import { parseSnapshotConfig } from '../snapshots/snapshot-config.ts';
import type { ExportResult } from './export.ts';

/*
 * Exports that read only what changed, by the extents of two clones. What QEMU and RBD say is tested with them, in snapshots/.
 */

const MiB = 1024 * 1024;
/** So few frames that each of them is in the sample. */
const DISK_BYTES = 32 * MiB;

interface Bench extends AsyncDisposable {
  /** What the last export said of its disk. */
  readonly said: () => string;
  /** Exports, imports, and compares with the disk. */
  exportDisk(options?: { readonly incremental?: boolean; readonly trackChanges?: boolean; readonly state?: string }): Promise<ExportResult>;
  /** Writes a block of 4 KiB. */
  write(offset: number, byte: number): Promise<void>;
  /** The clones beside the disk. */
  clones(): Promise<readonly string[]>;
  /** The files that say what is remembered. */
  marks(): Promise<readonly string[]>;
  /** Makes the kept clone the same as the disk, as if nothing had been written. */
  hideChanges(): Promise<void>;
}

async function openBench(): Promise<Bench> {
  await using stack = new AsyncDisposableStack();
  const mounted = stack.use(await mountNewXfs());
  const bench = stack.use(await makeOperationBench({}));
  const directory = mounted.file('disks');
  await mkdir(directory);
  const path = `${directory}/disk.img`;
  await makeSparseFile(path, DISK_BYTES, [
    { offset: 0, bytes: 6 * MiB, seed: 'a' },
    { offset: 20 * MiB, bytes: MiB, seed: 'b' },
  ]);
  const instance = sampleInstance({ os: 'raw', disks: [{ path, access: 'rw' }] });
  const target = bench.directory.file('target.img');
  const clones = async (): Promise<readonly string[]> => (await readdir(directory)).filter((name) => name !== 'disk.img');
  const marks = async (): Promise<readonly string[]> => {
    const all = bench.directory.file('state', 'marks');
    return (await readdir(all)).map((name) => `${all}/${name}`).toSorted();
  };
  let said: readonly string[] = [];
  const owned = stack.move();
  return {
    said: () => said.join('\n'),
    async exportDisk({ incremental = true, trackChanges = incremental, state = 'state' } = {}) {
      const stages: string[] = [];
      const result = await bench.exportDisks({
        instance,
        snapshot: 'reflink',
        incremental,
        trackChanges,
        stateDirectory: bench.directory.file(state),
        onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk 0: ') && stages.push(event.message),
      });
      said = stages;
      await makeSparseFile(target, DISK_BYTES);
      await bench.importDisks(result.reference, { instance: sampleInstance({ os: 'raw', disks: [{ path: target, access: 'rw' }] }) });
      expect((await readFile(target)).equals(await readFile(path))).toBe(true);
      return result;
    },
    async write(offset, byte) {
      await using disk = await open(path, 'r+');
      await disk.write(Buffer.alloc(4096, byte), 0, 4096, offset);
    },
    clones,
    marks,
    async hideChanges() {
      const [clone = ''] = await clones();
      const kept = `${directory}/${clone}`;
      await execa('touch', ['--reference', kept, bench.directory.file('time')]);
      await execa('cp', ['--reflink=always', '--no-preserve=all', path, kept]);
      await execa('touch', ['--reference', bench.directory.file('time'), kept]);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test('an export reads what changed since its parent and a sample of the rest, and every seventh reads everything', async () => {
  await using bench = await openBench();
  await bench.exportDisk();
  expect(bench.said()).toBe('disk 0: everything is read: there is no earlier mark');
  let before = await bench.exportDisk();
  expect(bench.said()).toBe(
    `disk 0: 0 of ${DISK_BYTES} bytes may have changed since ${before.incremental?.parents[0]}; 8 of the other frames were compared`,
  );
  for (let count = 2; count <= 6; count += 1) {
    await bench.write(count * 5 * MiB, count);
    const result = await bench.exportDisk();
    expect(bench.said()).toBe(
      `disk 0: ${4 * MiB} of ${DISK_BYTES} bytes may have changed since ${before.reference}; 7 of the other frames were compared`,
    );
    const { new: whole, patched } = result.incremental ?? expect.fail();
    expect(whole.frames + patched.frames).toBe(1);
    expect(result.warnings).toEqual([]);
    expect(await bench.clones()).toHaveLength(1);
    before = result;
  }
  await bench.exportDisk();
  expect(bench.said()).toBe('disk 0: everything is read and compared with what reflink says, as with every 7th export');
  await bench.exportDisk();
  expect(bench.said()).toContain('bytes may have changed');
});

test('who is found to say something untrue is not trusted again, and the export is right', async () => {
  await using bench = await openBench();
  const first = await bench.exportDisk();
  await bench.write(MiB, 1);
  await bench.hideChanges();
  const [clone = ''] = await bench.clones();
  const second = await bench.exportDisk();
  const [distrust = '', marks = ''] = await bench.marks();
  expect(distrust).toMatch(/-distrust\.json$/);
  expect(JSON.parse(await readFile(marks, 'utf8'))).toMatchObject({
    disks: [],
    stale: [{ mark: { name: expect.stringContaining(clone) } }],
  });
  const trustAgain = `When the cause is found and removed, rm ${distrust} lets exports rely on reflink again`;
  expect(second.warnings).toEqual([
    `disk 0: the frame at byte 0 of disk 0 had changed since ${first.reference}, and reflink did not say so: everything is read from now on. ${trustAgain}`,
  ]);
  expect(await bench.clones()).toEqual([]);
  const third = await bench.exportDisk();
  expect(third.warnings).toEqual([
    expect.stringMatching(
      /^disk 0: everything is read: reflink is not trusted since \S+, when the frame at byte 0 of disk 0 had changed and reflink did not say so; /,
    ),
  ]);
  expect(await bench.clones()).toEqual([]);
  await rm(distrust);
  expect((await bench.exportDisk()).warnings).toEqual([]);
  await bench.exportDisk();
  expect(bench.said()).toContain(`0 of ${DISK_BYTES} bytes may have changed`);
});

test('what was untrue is found when everything is read, and the exports that may be wrong are counted', async () => {
  await using bench = await openBench();
  for (let count = 0; count < 7; count += 1) await bench.exportDisk();
  await bench.write(21 * MiB, 1);
  await bench.hideChanges();
  const { warnings } = await bench.exportDisk();
  expect(warnings).toEqual([
    expect.stringMatching(
      /^disk 0: the frame at byte 20971520 of disk 0 had changed since \S+, and reflink did not say so: .* The 6 exports before this one may hold old data of it\. /,
    ),
  ]);
});

test('a mark is used for the export alone to which it belongs, and removed when it is of no use', async () => {
  await using bench = await openBench();
  await bench.exportDisk();
  const [clone] = await bench.clones();
  await bench.write(0, 1);
  // From another host, or with another state directory: its own marks say nothing of this export.
  await bench.exportDisk({ state: 'other' });
  expect(bench.said()).toBe('disk 0: everything is read: there is no earlier mark');
  expect(await bench.clones()).toHaveLength(2);
  await bench.exportDisk();
  expect(bench.said()).toBe('disk 0: everything is read: there is no earlier mark');
  expect(await bench.clones()).not.toContain(clone);
  await bench.exportDisk({ trackChanges: false });
  expect(bench.said()).toBe('');
  expect(await bench.clones()).toHaveLength(1);
  // Also one that knows nothing of a lineage.
  await bench.exportDisk({ incremental: false, state: 'other' });
  expect(await bench.clones()).toEqual([]);
});

test('the mark of a disk that was detached is removed', async () => {
  await using mounted = await mountNewXfs();
  await using bench = await makeOperationBench({});
  const disks = ['a.img', 'b.img'].map((name) => ({ path: mounted.file(name), access: 'rw' as const }));
  for (const { path } of disks) await makeSparseFile(path, 4 * MiB, [{ offset: 0, bytes: MiB, seed: path }]);
  const request = { snapshot: 'reflink', incremental: true, trackChanges: true } as const;
  await bench.exportDisks({ ...request, instance: sampleInstance({ os: 'raw', disks }) });
  await bench.exportDisks({ ...request, instance: sampleInstance({ os: 'raw', disks: disks.slice(0, 1) }) });
  const clones = (await readdir(mounted.path)).filter((name) => name.endsWith('.snap'));
  expect(clones).toEqual([expect.stringMatching(/^\.a\.img\./)]);
});

test('an export whose snapshot ends before its disk fails', async () => {
  await using bench = await makeOperationBench({});
  const create = ['dd', 'if={path}', 'of={path}-{run}', 'bs=4096', 'count=1', 'status=none'];
  const config = { create, remove: ['rm', '-f', '{device}'], device: '{path}-{run}' };
  const cut = bench.exportDisks({ snapshot: 'command', snapshotConfig: parseSnapshotConfig(JSON.stringify(config), 'test') });
  await expect(cut).rejects.toMatchObject({ code: 'DISK_IO', message: 'disk 0 has 65536 bytes, but 4096 were read' });
});

test('changes are tracked for incremental exports of disks alone', async () => {
  await using bench = await makeOperationBench({ scripts: {} });
  await expect(bench.exportDisks({ trackChanges: true })).rejects.toMatchObject({ code: 'USAGE' });
  const tracked = bench.exportDisks({ trackChanges: true, incremental: true });
  await expect(tracked).rejects.toMatchObject({ code: 'OS_OPERATION_UNSUPPORTED' });
});
