import { appendFile, chmod, chown, mkdir, readdir, readFile, stat, symlink, watch, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';

import type { MountedFileSystem } from '@gantry/testkit';
import {
  attachLoopDevice,
  makeExt4Image,
  makeRandomFile,
  makeSparseFile,
  mountImage,
  mountNewBtrfs,
  mountNewXfs,
  PATIENTLY,
  sha256File,
} from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';

import type { WriterKind } from '../../test/snapshots/numbered-disk.ts';
import { readNumberedDisk, startNumberedWriter } from '../../test/snapshots/numbered-disk.ts';
import { openWorkbench } from '../../test/snapshots/workbench.ts';
import type { Run } from '../runs/journal.ts';
import type { SnapshotProvider, SnapshotRecord } from './provider.ts';
import { createReflinkProvider } from './reflink.ts';

/** Machines that run tests may have much else to do. */

const MiB = 1024 * 1024;
const { signal } = new AbortController();
const fileSystems = [
  ['xfs', mountNewXfs],
  ['btrfs', mountNewBtrfs],
] as const;

/** What a command says; fails with it when it fails. */
async function run(program: string, ...parameters: string[]): Promise<string> {
  return (await execa(program, parameters)).stdout;
}

describe.each(fileSystems)('a reflink on %s', (_, mountNew) => {
  test('is the disk as it was, no matter what is written to the disk afterwards', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNew();
    const disk = mounted.file('disk.img');
    await makeRandomFile(disk, 8 * MiB, 'before');
    const before = await sha256File(disk);
    await using set = await bench.take('reflink', [disk]);
    await makeRandomFile(disk, 8 * MiB, 'after');
    const path = set.snapshots[0]?.path ?? '';
    expect(set.snapshots).toMatchObject([{ index: 0, kind: 'reflink', path: mounted.file(`.disk.img.${bench.run.id}.snap`) }]);
    expect(await sha256File(path)).toBe(before);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    expect(bench.warnings).toEqual([]);
  });

  const kinds: readonly WriterKind[] = ['buffered', 'direct', 'mapped'];
  test.each(kinds)('is one moment of a disk that is written to all the while (%s)', async (kind) => {
    const blocks = 2048;
    await using bench = await openWorkbench();
    await using mounted = await mountNew();
    const disk = mounted.file('disk.img');
    await makeSparseFile(disk, blocks * 4096);
    await using _writer = await startNumberedWriter(disk, blocks, kind);
    for (let round = 0; round < 10; round += 1) {
      await using set = await bench.take('reflink', [disk]);
      const content = await readNumberedDisk(set.snapshots[0]?.path ?? '', blocks, kind);
      expect(content.wrong).toBe(0);
      // The writer was at it before, and goes on.
      await expect.poll(async () => (await readNumberedDisk(disk, blocks, kind)).last, PATIENTLY).toBeGreaterThan(content.last);
    }
  });

  test('is one moment of a disk that is written to through a loop device', async () => {
    const blocks = 1024;
    await using bench = await openWorkbench();
    await using mounted = await mountNew();
    const disk = mounted.file('disk.img');
    await makeSparseFile(disk, blocks * 4096);
    await using loop = await attachLoopDevice(disk);
    await using _writer = await startNumberedWriter(loop.path, blocks, 'direct');
    for (let round = 0; round < 5; round += 1) {
      await using set = await bench.take('reflink', [disk]);
      expect(await readNumberedDisk(set.snapshots[0]?.path ?? '', blocks, 'direct')).toMatchObject({ wrong: 0 });
    }
  });

  test('of a mounted file system in use is one that recovers, with all that was synced before', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNew();
    const disk = mounted.file('disk.img');
    await makeExt4Image(disk, { bytes: 64 * MiB, files: 100 });
    await using guest = await mountImage(disk);
    await mkdir(guest.file('new'));
    await writeFile(guest.file('new', 'synced'), 'safe');
    await run('sync', '--file-system', guest.path);
    const enough = new AbortController();
    const writing = (async () => {
      for (let number = 0; !enough.signal.aborted; number += 1) {
        await appendFile(guest.file('new', `file${number % 50}`), 'x'.repeat(10_000));
        if (number % 10 === 0) await run('sync', guest.file('new', `file${number % 50}`));
      }
    })();
    await using set = await bench.take('reflink', [disk]);
    enough.abort();
    await writing;
    const snapshot = set.snapshots[0]?.path ?? '';
    // Mounting replays the journal, as after a power cut; then nothing may be wrong.
    {
      await using recovered = await mountImage(snapshot);
      expect(await readFile(recovered.file('new', 'synced'), 'utf8')).toBe('safe');
    }
    await run('e2fsck', '-fn', snapshot);
  });

  test('of several disks leaves nothing when it is dropped', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNew();
    const disks = [0, 1, 2].map((index) => mounted.file(`disk${index}.img`));
    for (const disk of disks) await makeRandomFile(disk, MiB, disk);
    {
      await using set = await bench.take('reflink', disks);
      expect(set.snapshots.map(({ index }) => index)).toEqual([0, 1, 2]);
      expect(await readdir(mounted.path)).toHaveLength(6);
    }
    expect((await readdir(mounted.path)).toSorted()).toEqual(['disk0.img', 'disk1.img', 'disk2.img']);
  });

  test('that fails for one disk leaves nothing of the others', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNew();
    await makeRandomFile(mounted.file('a'), MiB, 'a');
    await makeRandomFile(mounted.file('b'), MiB, 'b');
    // The name that the snapshot of b would have.
    await mkdir(mounted.file(`.b.${bench.run.id}.snap`));
    await expect(bench.take('reflink', [mounted.file('a'), mounted.file('b')])).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      disk: 1,
      message: expect.stringContaining('EEXIST'),
    });
    expect((await readdir(mounted.path)).toSorted()).toEqual([`.b.${bench.run.id}.snap`, 'a', 'b']);
    expect(bench.warnings).toEqual([expect.stringContaining('is not a file')]);
  });

  test('whether it works is found out without a trace', async () => {
    await using mounted = await mountNew();
    const disk = mounted.file('disk.img');
    await makeRandomFile(disk, MiB, 'x');
    const before = await stat(mounted.path);
    expect(await createReflinkProvider().supports({ index: 0, disk: { path: disk, access: 'rw' } }, signal)).toMatchObject({ ok: true });
    const after = await stat(mounted.path);
    expect(await readdir(mounted.path)).toEqual(['disk.img']);
    expect(after.mtimeMs).toBe(before.mtimeMs);
  });

  test('cannot be made where the file system is read-only', async () => {
    await using mounted = await mountNew();
    await makeRandomFile(mounted.file('disk.img'), MiB, 'x');
    await mounted.remount('ro');
    const answer = await createReflinkProvider().supports({ index: 0, disk: { path: mounted.file('disk.img'), access: 'rw' } }, signal);
    expect(answer).toEqual({ ok: false, reason: expect.stringContaining('is read-only') });
  });
});

test('a plain copy of a disk that is written to does not show one moment of it: the comparison above notices', async () => {
  const blocks = 2048;
  await using bench = await openWorkbench();
  const disk = bench.file('disk.img');
  await makeSparseFile(disk, blocks * 4096);
  await using _writer = await startNumberedWriter(disk, blocks, 'buffered');
  let wrong = 0;
  for (let round = 0; round < 20; round += 1) {
    await run('cp', '--reflink=never', disk, bench.file('copy'));
    wrong += (await readNumberedDisk(bench.file('copy'), blocks, 'buffered')).wrong;
  }
  expect(wrong).toBeGreaterThan(0);
});

test('on btrfs a disk that is not copied on write has a reflink too', async () => {
  await using bench = await openWorkbench();
  await using mounted = await mountNewBtrfs();
  const disk = mounted.file('disk.img');
  await writeFile(disk, '');
  await run('chattr', '+C', disk);
  await makeRandomFile(disk, MiB, 'no copy on write');
  await using set = await bench.take('reflink', [disk]);
  const path = set.snapshots[0]?.path ?? '';
  expect(await sha256File(path)).toBe(await sha256File(disk));
  expect(await run('lsattr', path)).toMatch(/^\S*C\S* /);
});

test('a disk that is reached by a link has its snapshot beside the file, not beside the link', async () => {
  await using bench = await openWorkbench();
  await using mounted = await mountNewXfs();
  await makeRandomFile(mounted.file('disk.img'), MiB, 'x');
  await symlink(mounted.file('disk.img'), bench.file('link'));
  await using set = await bench.take('reflink', [bench.file('link')]);
  expect(set.snapshots[0]?.path).toBe(mounted.file(`.disk.img.${bench.run.id}.snap`));
});

test('a disk whose name leaves no room for more has a snapshot all the same', async () => {
  await using bench = await openWorkbench();
  await using mounted = await mountNewXfs();
  await makeRandomFile(mounted.file('ü'.repeat(127)), MiB, 'x');
  await using set = await bench.take('reflink', [mounted.file('ü'.repeat(127))]);
  expect(set.snapshots[0]?.path).toBe(mounted.file(`.disk0.${bench.run.id}.snap`));
});

test('a disk that only root may read has a snapshot that only root may read', async () => {
  await using bench = await openWorkbench();
  await using mounted = await mountNewXfs();
  await makeRandomFile(mounted.file('disk.img'), MiB, 'x');
  await run('chmod', '0666', mounted.file('disk.img'));
  await using set = await bench.take('reflink', [mounted.file('disk.img')]);
  expect((await stat(set.snapshots[0]?.path ?? '')).mode & 0o777).toBe(0o600);
});

describe('what has no reflink', () => {
  test.each([
    ['a file on another file system', 'file', /^the file system of .* does not support reflinks \(xfs and btrfs do\)$/],
    ['a device', 'device', /^it is not a regular file$/],
    ['a disk that has a URI alone', 'uri', /^it has only a URI, not a path$/],
    ['a disk that is not there', 'missing', /^it cannot be examined \(ENOENT\)$/],
  ])('%s is refused with the reason', async (_, kind, reason) => {
    await using bench = await openWorkbench();
    await makeSparseFile(bench.file('file'), MiB);
    await using loop = await attachLoopDevice(bench.file('file'));
    const path = { file: bench.file('file'), device: loop.path, missing: bench.file('missing'), uri: undefined }[kind];
    const disk = { access: 'rw', ...(path === undefined ? { uri: 'rbd:pool/image' } : { path }) } as const;
    expect(await createReflinkProvider().supports({ index: 0, disk }, signal)).toEqual({
      ok: false,
      reason: expect.stringMatching(reason),
    });
    await expect(bench.take('reflink', [disk])).rejects.toMatchObject({ code: 'SNAPSHOT_UNSUPPORTED', exitCode: 5, disk: 0 });
  });
});

/** What the journal has of a snapshot at this path. */
function record(path: string): SnapshotRecord {
  return { provider: 'reflink', index: 0, description: '', data: { path } };
}

describe('dropping', () => {
  test('is done when there is nothing', async () => {
    await using bench = await openWorkbench();
    await createReflinkProvider().drop(record(bench.file('.disk.gantry-20261123T081500Z-1.snap')), signal);
  });

  test.each(['disk.img', '.bashrc', '.disk.snap', 'disk.gantry-20261123T081500Z-1.snap'])('never removes %s', async (name) => {
    await using bench = await openWorkbench();
    await writeFile(bench.file(name), '');
    await expect(createReflinkProvider().drop(record(bench.file(name)), signal)).rejects.toThrow(
      'does not have the name of a snapshot of Gantry',
    );
    expect(await readdir(bench.file())).toContain(name);
  });
});

test('that is cancelled leaves nothing, also when it was under way', async () => {
  await using mounted = await mountNewXfs();
  const disk = mounted.file('disk.img');
  await makeRandomFile(disk, 32 * MiB, 'x');
  for (const stage of ['before', 'after the file was made'] as const) {
    await using bench = await openWorkbench();
    const cancel = new AbortController();
    const seen = whenThere(mounted.path);
    const taking = expect(bench.take('reflink', [disk], { signal: cancel.signal })).rejects.toThrow('enough');
    if (stage !== 'before') await seen;
    cancel.abort(new Error('enough'));
    await taking;
    expect(await readdir(mounted.path)).toEqual(['disk.img']);
    expect(bench.warnings).toEqual([]);
  }
});

/** Resolves as soon as there is a snapshot in the directory. */
async function whenThere(directory: string): Promise<void> {
  for await (const { filename } of watch(directory)) {
    if (filename?.endsWith('.snap') === true) return;
  }
}

describe('in a directory that belongs to another user, who changes what names lead to', () => {
  const NOBODY = 65_534;
  const asNobody = (command: string, ...parameters: string[]): Promise<unknown> =>
    execa('setpriv', ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', 'sh', '-ec', command, 'sh', ...parameters]);

  /** Two disks in a directory of that user, and beside it a file of root's that is nothing to him. */
  async function withVictim(mounted: MountedFileSystem) {
    await mkdir(mounted.file('his'));
    const disks = ['a.img', 'b.img'].map((name) => mounted.file('his', name));
    for (const disk of disks) await makeRandomFile(disk, MiB, disk);
    for (const path of [mounted.file('his'), ...disks]) await chown(path, NOBODY, NOBODY);
    await writeFile(mounted.file('victim'), 'root:secret', { mode: 0o600 });
    await chmod(mounted.path, 0o755);
    const assertUntouched = async (): Promise<void> => {
      expect(await readFile(mounted.file('victim'), 'utf8')).toBe('root:secret');
      expect(await stat(mounted.file('victim'))).toMatchObject({ uid: 0, size: 11 });
    };
    return {
      disks,
      victim: mounted.file('victim'),
      snapshotOf: (disk: string, id: string) => join(dirname(disk), `.${basename(disk)}.${id}.snap`),
      assertUntouched,
    };
  }

  test('a link that was put in the place of an empty snapshot is not written through', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNewXfs();
    const { disks, victim, snapshotOf, assertUntouched } = await withVictim(mounted);
    let remembered = 0;
    const run: Run = {
      ...bench.run,
      remember: async (record, inPlaceOf) => {
        // The empty file for the first disk is there, and nothing has been cloned.
        if ((remembered += 1) === 2) await asNobody('rm -f "$1"; ln -s "$2" "$1"', snapshotOf(disks[0] ?? '', bench.run.id), victim);
        return bench.run.remember(record, inPlaceOf);
      },
    };
    await expect(bench.take('reflink', disks, { run })).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('another process has removed or replaced'),
    });
    await assertUntouched();
    expect(bench.warnings).toEqual([]);
  });

  test('a link that was put there before is not followed', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNewXfs();
    const { disks, victim, snapshotOf, assertUntouched } = await withVictim(mounted);
    await asNobody('ln -s "$2" "$1"', snapshotOf(disks[1] ?? '', bench.run.id), victim);
    await expect(bench.take('reflink', disks)).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('EEXIST'),
    });
    await assertUntouched();
  });

  test('a named pipe in the place of the disk is refused, and not waited for', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNewXfs();
    const { disks } = await withVictim(mounted);
    const provider = createReflinkProvider();
    const swapped: SnapshotProvider = {
      ...provider,
      // After it was looked at, before it is opened.
      supports: async (request, signal) => {
        const answer = await provider.supports(request, signal);
        if (request.index === 1) await asNobody('rm "$1"; mkfifo "$1"', disks[1] ?? '');
        return answer;
      },
    };
    const taking = bench.take('reflink', disks, { providers: [swapped] });
    await expect(taking).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining('not a regular file any more'),
    });
  });

  test('what is read is the snapshot, not what the name leads to later; and that it does not is reported', async () => {
    await using bench = await openWorkbench();
    await using mounted = await mountNewXfs();
    const { disks, victim, snapshotOf, assertUntouched } = await withVictim(mounted);
    await using set = await bench.take('reflink', disks);
    const [first] = set.snapshots;
    await asNobody('rm -f "$1"; ln -s "$2" "$1"', snapshotOf(disks[0] ?? '', bench.run.id), victim);
    expect(await sha256File(`/proc/self/fd/${first?.descriptor}`)).toBe(await sha256File(disks[0] ?? ''));
    await expect(first?.assertIntact?.()).rejects.toMatchObject({ code: 'SNAPSHOT_FAILED', disk: 0 });
    await expect(set.snapshots[1]?.assertIntact?.()).resolves.toBeUndefined();
    await asNobody('mv "$1" "$1.away"', snapshotOf(disks[1] ?? '', bench.run.id));
    await set[Symbol.asyncDispose]();
    expect(bench.warnings).toEqual([expect.stringContaining('another process has moved it away')]);
    await assertUntouched();
  });
});
