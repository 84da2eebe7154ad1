import { mkdir, readdir, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import type { CephServer, TemporaryDirectory } from '@gantry/testkit';
import { makeSparseFile, makeTemporaryDirectory, startCeph } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';

import { makeOperationBench } from '../../test/operation-bench.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import { holdSnapshots } from '../../test/snapshots/holder.ts';
import { contentOf, DISK_BYTES, MiB } from '../../test/snapshots/snapshot-bench.ts';
import { openWorkbench } from '../../test/snapshots/workbench.ts';
import { undoHandlers } from '../flow/undo-handlers.ts';
import type { Disk } from '../instances/model.ts';
import { recoverDeadRuns } from '../runs/recover.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { MarksKept } from './mark-fate.ts';
import type { ChangeMark } from './provider.ts';
import { defaultScratch } from './scratch-directory.ts';
import { createRbdProvider } from './rbd.ts';

/** Runs within a second have different names in different processes only. */
let runs = 0;
let ceph: CephServer;
let scratch: TemporaryDirectory;

beforeAll(async () => {
  scratch = await makeTemporaryDirectory();
  ceph = await startCeph();
  await run('ceph', 'osd', 'pool', 'create', 'disks', '4');
  await run('rbd', 'pool', 'init', 'disks');
  for (const image of ['a', 'b']) {
    await writeFile(scratch.file(image), filledWith(image));
    await run('rbd', 'import', '--no-progress', scratch.file(image), `disks/${image}`);
  }
});

afterEach(async () => {
  expect(await leftOver()).toEqual([]);
  for (const image of ['a', 'b']) await overwrite(image, image);
});

afterAll(async () => {
  await ceph[Symbol.asyncDispose]();
  await scratch[Symbol.asyncDispose]();
});

async function run(program: string, ...args: readonly string[]): Promise<string> {
  return (await execa(program, ['--conf', ceph.confFile, ...args])).stdout;
}

/** All of an image holds the same byte, but for a hole in the middle. */
function filledWith(letter: string): Buffer {
  const content = Buffer.alloc(DISK_BYTES, letter);
  return content.fill(0, DISK_BYTES / 4, DISK_BYTES / 2);
}

async function overwrite(image: string, letter: string): Promise<void> {
  const { quarter, half } = { quarter: DISK_BYTES / 4, half: DISK_BYTES / 2 };
  const pattern = `-P 0x${Buffer.from(letter).toString('hex')}`;
  const writes = [`write ${pattern} 0 ${quarter}`, `write ${pattern} ${half} ${half}`];
  await execa('qemu-io', ['-f', 'raw', ...writes.flatMap((write) => ['-c', write]), uri(image)]);
}

function uri(image: string): string {
  return `rbd:disks/${image}:conf=${ceph.confFile}`;
}

function disk(image: string): Disk {
  return { uri: uri(image), access: 'rw' };
}

/** Snapshots of both images, and directories of sockets. */
async function leftOver(): Promise<readonly string[]> {
  const snapshots: unknown[] = [];
  for (const image of ['a', 'b']) snapshots.push(...JSON.parse(await run('rbd', 'snap', 'ls', '--format=json', `disks/${image}`)));
  const sockets = (await readdir(defaultScratch()).catch(() => [])).filter((name) => /^gantry-\d{8}T\d{6}Z-/.test(name));
  return [...snapshots.map((snapshot) => JSON.stringify(snapshot)), ...sockets];
}

describe('a snapshot of images of RBD', () => {
  test('keeps them as they were at the moment, and leaves nothing', async () => {
    await using bench = await openWorkbench();
    await using set = await bench.take('auto', [disk('a'), disk('b')]);
    for (const image of ['a', 'b']) await overwrite(image, 'x');
    expect(set.snapshots.map(({ kind }) => kind)).toEqual(['rbd', 'rbd']);
    expect((await contentOf(set, 0)).equals(filledWith('a'))).toBe(true);
    expect((await contentOf(set, 1)).equals(filledWith('b'))).toBe(true);
    expect(bench.warnings).toEqual([]);
  });

  test('has its socket where nobody else can be first', async () => {
    await using bench = await openWorkbench();
    const taken = join(tmpdir(), `${bench.run.id}-0`);
    await mkdir(taken);
    try {
      {
        await using set = await bench.take('rbd', [disk('a')]);
        expect(dirname(dirname(set.snapshots[0]?.nbd?.socket ?? ''))).toBe(defaultScratch());
      }
      expect((await stat(taken)).isDirectory()).toBe(true);
    } finally {
      await rm(taken, { recursive: true, force: true });
    }
  });

  test('is handed to scripts by its URI', async () => {
    await using bench = await openWorkbench();
    const requests = [{ index: 0, disk: disk('a'), needsPath: true }];
    await using set = await bench.take('rbd', [], { requests });
    await overwrite('a', 'x');
    const [view] = set.snapshots;
    await execa('qemu-img', ['convert', '-O', 'raw', view?.uri ?? '', scratch.file('read')]);
    await execa('cmp', [scratch.file('read'), scratch.file('a')]);
    await view?.assertIntact?.();
  });

  test('that somebody removes or replaces does not count as read', async () => {
    await using bench = await openWorkbench();
    await using set = await bench.take('rbd', [], { requests: [{ index: 0, disk: disk('a'), needsPath: true }] });
    const [view] = set.snapshots;
    const spec = `disks/a@${bench.run.id}-0`;
    await run('rbd', 'snap', 'rm', '--no-progress', spec);
    await run('rbd', 'snap', 'create', '--no-progress', spec);
    await expect(view?.assertIntact?.()).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: `cannot read disk 0: somebody else has removed or replaced the snapshot ${spec}`,
    });
  });

  test('whose server was killed names it', async () => {
    await using bench = await openWorkbench();
    await using set = await bench.take('rbd', [disk('a')]);
    const { stdout } = await execa('pgrep', ['-f', `qemu-nbd.*${bench.run.id}-0`]);
    process.kill(Number(stdout.trim()), 'SIGKILL');
    await expect(contentOf(set, 0)).rejects.toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: 'cannot read disk 0: qemu-nbd, which reads the image, was killed by SIGKILL',
    });
  });

  test('of a killed run is named, and cleared by the next', async () => {
    const holder = holdSnapshots({ state: scratch.file('state'), mode: 'rbd', disks: [uri('a'), uri('b')] });
    await holder.said;
    await holder.kill();
    expect(await leftOver()).toHaveLength(4);
    const { signal } = new AbortController();
    const report = await recoverDeadRuns({
      stateDirectory: await openStateDirectory(scratch.file('state')),
      undos: undoHandlers(),
      signal,
    });
    expect(JSON.stringify(report)).toContain('snapshot disks/a@gantry-');
  });
});

describe('a snapshot that is kept as a mark', () => {
  const { signal } = new AbortController();

  async function take(
    since: ChangeMark | undefined,
    settle: MarksKept,
    image = 'a',
  ): Promise<{ readonly mark: ChangeMark; readonly said: unknown }> {
    await using bench = await openWorkbench();
    await using set = await bench.take('rbd', [], {
      run: { ...bench.run, id: `${bench.run.id}-${(runs += 1)}` },
      requests: [{ index: 0, disk: disk(image), track: { since } }],
    });
    const changes = set.snapshots[0]?.changes;
    if (changes === undefined) throw new Error('it was not asked');
    const said = changes.since.known ? await Array.fromAsync(changes.since.ranges(signal)) : changes.since.reason;
    await set.settleMarks(() => settle);
    expect(bench.warnings).toEqual([]);
    return { mark: changes.mark, said };
  }

  test('says what was written since, through the server that it is read from, and is forgotten when it is of no use', async () => {
    const first = await take(undefined, 'latest');
    expect(first.said).toBe('there is no earlier mark');
    await execa('qemu-io', ['-f', 'raw', '-c', `write -P 0x78 ${5 * MiB} 65536`, '-c', `discard ${40 * MiB} ${4 * MiB}`, uri('a')]);
    const failed = await take(first.mark, 'earlier');
    const second = await take(first.mark, 'latest');
    expect(failed.said).toEqual(second.said);
    expect(second.said).toEqual([
      expect.objectContaining({ offset: 5 * MiB, length: 65_536 }),
      expect.objectContaining({ offset: 40 * MiB, length: 4 * MiB }),
    ]);
    const gone = await take(first.mark, 'earlier');
    expect(gone.said).toMatch(/^the snapshot disks\/a@gantry-\S+ of the earlier export is gone$/);
    expect(await leftOver()).toHaveLength(1);
    const provider = createRbdProvider();
    const replaced = { ...second.mark, name: second.mark.name.replace(/^\d+/, '9999') };
    await provider.forgetMark?.(replaced, signal);
    expect(await leftOver()).toHaveLength(1);
    for (let round = 0; round < 2; round += 1) await provider.forgetMark?.(second.mark, signal);
  });

  test('names its image: it is of no use for another one, and is forgotten when its image is not a disk any more', async () => {
    const { mark } = await take(undefined, 'latest');
    const other = await take(mark, 'earlier', 'b');
    expect(other.said).toBe('the earlier export was of the image disks/a');
    expect(await leftOver()).toHaveLength(1);
    const provider = createRbdProvider();
    await provider.forgetMark?.(mark, signal);
    expect(await leftOver()).toEqual([]);
    for (const gone of ['rbd:disks/gone', 'rbd:nopool/a'])
      await provider.forgetMark?.({ ...mark, name: mark.name.replace('rbd:disks/a', gone) }, signal);
    const unreachable = { ...mark, name: mark.name.replace(ceph.confFile, '/dev/null') };
    await expect(provider.forgetMark?.(unreachable, signal)).rejects.toThrow('rbd failed with status');
  });

  test('says nothing of an image that was resized: all of it is exported, and an export without marks removes the last one', async () => {
    await using bench = await makeOperationBench({});
    const instance = sampleInstance({ os: 'raw', disks: [disk('resized')] });
    const target = bench.directory.file('target');
    const said: string[] = [];
    await run('rbd', 'create', '--size=4M', 'disks/resized');
    for (const MiBs of [6, 10, 6]) {
      await run('rbd', 'resize', '--no-progress', '--allow-shrink', `--size=${MiBs}M`, 'disks/resized');
      await execa('qemu-io', ['-f', 'raw', '-c', `write -P ${MiBs} ${(MiBs - 1) * MiB} ${MiB}`, uri('resized')]);
      const { reference, dumps, warnings } = await bench.exportDisks({
        instance,
        snapshot: 'rbd',
        incremental: true,
        trackChanges: true,
        onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk 0: ') && said.push(event.message),
      });
      expect([warnings, dumps[0]?.plainBytes]).toEqual([[], MiBs * MiB]);
      await makeSparseFile(target, MiBs * MiB, []);
      await bench.importDisks(reference, { instance: sampleInstance({ os: 'raw', disks: [{ path: target, access: 'rw' }] }) });
      await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', target, uri('resized')]);
    }
    expect(said).toEqual([
      'disk 0: everything is read: there is no earlier mark',
      `disk 0: everything is read: it was resized from ${6 * MiB} to ${10 * MiB} bytes`,
      `disk 0: everything is read: it was resized from ${10 * MiB} to ${6 * MiB} bytes`,
    ]);
    await bench.exportDisks({ instance, snapshot: 'rbd' });
    expect(await run('rbd', 'snap', 'ls', '--format=json', 'disks/resized')).toBe('[]');
    await run('rbd', 'rm', '--no-progress', 'disks/resized');
  });
});

describe('what cannot be held still', () => {
  const ask = (place: Disk, needsPath = false) =>
    createRbdProvider().supports({ index: 0, disk: place, needsPath }, new AbortController().signal);

  test.each([
    ['a path', { path: '/dev/sda', access: 'rw' } as const, 'its URI is not one of RBD (rbd:POOL/IMAGE)'],
    ['a snapshot', { uri: 'rbd:disks/a@s', access: 'rw' } as const, 'disks/a@s is a snapshot itself'],
  ])('%s', async (_, place, reason) => {
    expect(await ask(place)).toEqual({ ok: false, reason });
  });

  test('a disk whose path scripts would read instead', async () => {
    const reason = 'scripts may read its path, which would not be the snapshot';
    expect(await ask({ ...disk('a'), path: '/dev/rbd0' }, true)).toEqual({ ok: false, reason });
    expect(await ask({ ...disk('a'), path: '/dev/rbd0' })).toMatchObject({ ok: true });
  });

  test('where a path is too long for the socket', async () => {
    const long = join('/', 'x'.repeat(80));
    const askWith = (needsPath: boolean) =>
      createRbdProvider(long).supports({ index: 0, disk: disk('a'), needsPath }, new AbortController().signal);
    expect(await askWith(false)).toEqual({
      ok: false,
      isObstacle: true,
      reason: `the path of the scratch directory ${long} is too long for a socket in it`,
    });
    expect(await askWith(true)).toMatchObject({ ok: true });
  });

  test('an image that is not there, or a cluster that is not: auto does not read the image itself instead', async () => {
    const noImage = await ask({ uri: uri('c'), access: 'rw' });
    expect(noImage).toMatchObject({ ok: false, isObstacle: true, reason: expect.stringContaining('No such file or directory') });
    await writeFile(scratch.file('empty.conf'), '');
    const noCluster = await ask({ uri: `rbd:disks/a:conf=${scratch.file('empty.conf')}`, access: 'rw' });
    expect(noCluster).toMatchObject({ ok: false, isObstacle: true, reason: expect.stringContaining('rbd failed with status') });
    await rm(scratch.file('empty.conf'));
  });
});
