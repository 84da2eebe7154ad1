import { link, readdir, readFile, rm, stat, symlink, truncate, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import type { OperationBench, OperationBenchOptions } from '../../test/operation-bench.ts';
import { getBytes, keysOf, put } from '../../test/sample-export.ts';
import { newDisksUndo } from '../flow/undo-new-disks.ts';
import { memoryWorld } from '../instances/testing/memory-inventory.ts';
import type { Instance } from '../instances/model.ts';
import type { ImportRequest } from './import.ts';
import type { GantryEvent } from '../report/events.ts';

interface CreateBench extends OperationBench {
  readonly reference: string;
  /** The instance with disks `new0.img`, `new1.img`, … that are not there. */
  readonly target: Instance;
  readonly path: (index: number) => string;
  /** The names in the directory of the disks, without those of the bench. */
  readonly left: () => Promise<readonly string[]>;
  readonly journal: () => Promise<readonly string[]>;
}

async function makeBench(options: OperationBenchOptions = {}): Promise<CreateBench> {
  const bench = await makeOperationBench(options);
  const { reference } = await bench.exportDisks();
  const path = (index: number): string => bench.directory.file(`new${index}.img`);
  const before = await readdir(bench.directory.path);
  return {
    ...bench,
    reference,
    path,
    target: { ...bench.instance, disks: bench.instance.disks.map((_, index) => ({ path: path(index), access: 'rw' })) },
    left: async () => (await readdir(bench.directory.path)).filter((name) => !before.includes(name)).toSorted(),
    journal: async () => await readdir(bench.directory.file('state', 'runs')),
  };
}

/** Changes a byte in the middle of the dump of a disk. */
async function damage({ store }: OperationBench, disk: number): Promise<void> {
  const key = (await keysOf(store)).find((name) => name.includes(`/disk${disk}.`)) ?? '';
  const bytes = await getBytes(store, key);
  const middle = bytes.length >> 1;
  bytes.writeUInt8(bytes.readUInt8(middle) ^ 1, middle);
  await put(store, key, bytes);
}

describe('an import that creates missing disks', () => {
  test('makes them of the right size, and gives them their names when all are complete', async () => {
    await using bench = await makeBench({ disks: 2 });
    const { plan, warnings } = await bench.importDisks(bench.reference, { instance: bench.target, createDisks: true });
    for (const index of [0, 1]) expect(await readFile(bench.path(index))).toEqual(await readFile(bench.directory.file(`disk${index}.img`)));
    expect((await stat(bench.path(0))).mode & 0o777).toBe(0o600);
    expect(plan.disks).toEqual(
      [0, 1].map((disk) => ({
        disk,
        target: bench.path(disk),
        targetBytes: DISK_BYTES,
        incomingBytes: DISK_BYTES,
        holds: 'nothing: it will be a new file',
        action: 'create',
      })),
    );
    expect([warnings, await bench.left(), await bench.journal()]).toEqual([[], ['new0.img', 'new1.img'], []]);
  });

  test('makes those of scripts as large as the exported disks were', async () => {
    await using bench = await makeBench({ scripts: { import: 'test "$(stat -c %s "$IMPORT_DEVICE")" = 1048576; cat >"$IMPORT_DEVICE"' } });
    await bench.importDisks(bench.reference, { instance: bench.target, createDisks: true });
    expect(await readFile(bench.path(0))).toEqual(await readFile(bench.directory.file('disk0.img')));
  });

  test('needs no consent for another instance, since it overwrites nothing; with one that is there it does', async () => {
    await using bench = await makeBench({ disks: 2 });
    const instance = { ...bench.target, name: 'web2.example.com' };
    const ask = (): Promise<boolean> => Promise.reject(new Error('not to be asked'));
    await bench.importDisks(bench.reference, { instance, createDisks: true, ask });
    await expect(bench.importDisks(bench.reference, { instance, createDisks: true })).rejects.toMatchObject({ code: 'CONFIRM_NEEDED' });
  });

  test('creates nothing in a dry run', async () => {
    await using bench = await makeBench();
    const { plan } = await bench.importDisks(bench.reference, { instance: bench.target, createDisks: true, dryRun: true });
    expect([plan.disks[0]?.action, await bench.left()]).toEqual(['create', []]);
  });

  test('knows where it will be defined before it creates anything, and defines it with the final paths', async () => {
    await using bench = await makeBench();
    const world = memoryWorld([]);
    await bench.importDisks(bench.reference, { instance: bench.target, createDisks: true, define: { source: world.open() } });
    expect(world.descriptions).toMatchObject([{ instance: { disks: [{ path: bench.path(0) }] } }]);
  });

  test.each(['SCRIPT_FAILED', 'DUMP_DAMAGED'])('removes all of them if it fails with %s, and nothing else', async (code) => {
    await using bench = await makeBench({
      disks: 2,
      ...(code === 'SCRIPT_FAILED' ? { scripts: { import: 'cat >/dev/null; exit 3' } } : {}),
    });
    await writeFile(bench.directory.file('.gantry-mine.unfinished'), 'mine');
    if (code === 'DUMP_DAMAGED') await damage(bench, 1);
    const warnings: GantryEvent[] = [];
    const importing = bench.importDisks(bench.reference, {
      instance: bench.target,
      createDisks: true,
      onEvent: (event) => void (event.type === 'warning' && warnings.push(event)),
    });
    await expect(importing).rejects.toMatchObject({ code });
    expect([await bench.left(), await bench.journal()]).toEqual([['.gantry-mine.unfinished'], []]);
    expect(warnings).toContainEqual(expect.objectContaining({ disk: 1, message: 'it was new, and is removed' }));
  });

  test('is cancelled without leaving any', async () => {
    await using bench = await makeBench({ scripts: { import: 'echo started >&2; cat >/dev/null; sleep 1000' } });
    const enough = new AbortController();
    const onEvent = (event: GantryEvent): void => void (event.type === 'message' && enough.abort(new Error('enough')));
    const importing = bench.importDisks(bench.reference, { instance: bench.target, createDisks: true, signal: enough.signal, onEvent });
    await expect(importing).rejects.toThrow('enough');
    expect([await bench.left(), await bench.journal()]).toEqual([[], []]);
  });

  test('does not touch what another program makes under a name meanwhile, and takes back the names that it gave', async () => {
    const scripts = { import: 'cat >"$IMPORT_DEVICE"; echo theirs >"$(dirname "$IMPORT_DEVICE")/new1.img"' };
    await using bench = await makeBench({ disks: 2, scripts });
    await expect(bench.importDisks(bench.reference, { instance: bench.target, createDisks: true })).rejects.toMatchObject({
      code: 'DISK_NOT_CREATED',
      message: `the new disks are complete, but cannot get their names: ${bench.path(1)} exists`,
    });
    expect([await bench.left(), await readFile(bench.path(1), 'utf8'), await bench.journal()]).toEqual([['new1.img'], 'theirs\n', []]);
  });

  test.each([
    ['a directory that is missing', 'nowhere/new.img', 'DISK_MISSING', /the directory .*nowhere does not exist/],
    ['a dangling link', 'link', 'DISK_MISSING', /it is a symbolic link to something that does not exist/],
    ['a device that is not one of LVM', '/dev/nothing', 'DISK_MISSING', /what is in \/dev can be created only as a logical volume/],
    ['a volume group that is not there', '/dev/no-such-group/lv', 'DISK_MISSING', /no-such-group|LVM cannot be asked/],
  ])('refuses %s before anything is written', async (what, path, code, message) => {
    await using bench = await makeBench();
    if (what.endsWith('link')) await symlink('nothing', bench.directory.file('link'));
    const instance = {
      ...bench.target,
      disks: [{ path: path.startsWith('/') ? path : bench.directory.file(path), access: 'rw' as const }],
    };
    const importing = bench.importDisks(bench.reference, { instance, createDisks: true });
    await expect(importing).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  });

  test('is what the hint names where a disk is missing or too small', async () => {
    await using bench = await makeBench();
    const hint = expect.stringContaining('--create-disks');
    await expect(bench.importDisks(bench.reference, { instance: bench.target })).rejects.toMatchObject({ code: 'DISK_MISSING', hint });
    await writeFile(bench.path(0), 'short');
    await expect(bench.importDisks(bench.reference, { instance: bench.target })).rejects.toMatchObject({ code: 'DISK_TOO_SMALL', hint });
  });
});

describe('a disk that is an image', () => {
  const images = (bench: CreateBench): Instance => {
    const uris = [0, 1].map((index) => `qcow2:${bench.path(index)}`);
    return { ...bench.target, disks: uris.map((uri) => ({ uri, access: 'rw' })) };
  };

  test.each([
    ['raw', {}],
    ['scripts', { scripts: {} }],
  ])('is made by qemu-img when all disks are complete, of what %s wrote', async (_what, options) => {
    await using bench = await makeBench({ disks: 2, ...options });
    const { plan } = await bench.importDisks(bench.reference, { instance: images(bench), createDisks: true });
    expect(plan.disks).toMatchObject([{ holds: 'nothing: it will be a new qcow2 image', action: 'create' }, {}]);
    for (const index of [0, 1]) {
      const { stdout } = await execa('qemu-img', ['info', '--output=json', '-f', 'qcow2', bench.path(index)]);
      expect(JSON.parse(stdout)).toMatchObject({ format: 'qcow2', 'virtual-size': DISK_BYTES });
      await execa('qemu-img', ['compare', '-f', 'raw', '-F', 'qcow2', bench.directory.file(`disk${index}.img`), bench.path(index)]);
      expect((await stat(bench.path(index))).mode & 0o777).toBe(0o600);
    }
    expect([await bench.left(), await bench.journal()]).toEqual([['new0.img', 'new1.img'], []]);
  });

  test('that exists is refused, and one that cannot be made leaves nothing', async () => {
    await using bench = await makeBench({ disks: 2 });
    const instance = images(bench);
    await writeFile(bench.path(1), 'mine');
    const importing = bench.importDisks(bench.reference, { instance, createDisks: true });
    await expect(importing).rejects.toMatchObject({ code: 'DISK_KIND', message: expect.stringContaining('it exists') });
    await rm(bench.path(1));
    await damage(bench, 0);
    await expect(bench.importDisks(bench.reference, { instance, createDisks: true })).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
    expect([await bench.left(), await bench.journal()]).toEqual([[], []]);
  });
});

describe('a file that is too short', () => {
  test('is enlarged, which the plan says, and gets the data', async () => {
    await using bench = await makeBench();
    await writeFile(bench.path(0), 'short');
    const { plan } = await bench.importDisks(bench.reference, { instance: bench.target, createDisks: true });
    expect(plan.disks).toMatchObject([{ action: 'enlarge', targetBytes: DISK_BYTES, holds: 'data of an unknown kind' }]);
    expect(await readFile(bench.path(0))).toEqual(await readFile(bench.directory.file('disk0.img')));
  });

  test('gets its size back if nothing was written to it', async () => {
    await using bench = await makeBench();
    await writeFile(bench.path(0), 'short');
    await damage(bench, 0);
    const importing = bench.importDisks(bench.reference, { instance: bench.target, createDisks: true });
    await expect(importing).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
    expect(await readFile(bench.path(0), 'utf8')).toBe('short');
  });

  test('is not cut if somebody has enlarged it further since the plan', async () => {
    await using bench = await makeBench();
    await writeFile(bench.path(0), 'short');
    const ask = async (): Promise<boolean> => {
      await truncate(bench.path(0), DISK_BYTES * 2);
      return true;
    };
    await bench.importDisks(bench.reference, { instance: bench.target, createDisks: true, ask });
    const bytes = await readFile(bench.path(0));
    expect(bytes).toHaveLength(DISK_BYTES * 2);
    expect(bytes.subarray(0, DISK_BYTES)).toEqual(await readFile(bench.directory.file('disk0.img')));
  });
});

test('of disks that only the export names, one that exists is not overwritten, not even with --yes', async () => {
  await using bench = await makeBench({ disks: 2 });
  const before = await readFile(bench.directory.file('disk1.img'));
  const importing = bench.importDisks(bench.reference, { namedDisks: [0], yes: true });
  await expect(importing).rejects.toMatchObject({
    code: 'CONFIRM_NEEDED',
    disk: 1,
    hint: expect.stringContaining('To overwrite it: --disk 1='),
  });
  expect(await readFile(bench.directory.file('disk1.img'))).toEqual(before);
  await bench.importDisks(bench.reference, { namedDisks: [0, 1] });
});

describe('new disks that only the export names', () => {
  test('are created only after a confirmation, also those of the exported instance, and those beside a named one', async () => {
    await using bench = await makeBench({ disks: 2 });
    const request = { instance: bench.target, createDisks: true, namedDisks: [0] };
    await expect(bench.importDisks(bench.reference, request)).rejects.toMatchObject({
      code: 'CONFIRM_NEEDED',
      details: [`disk 1: ${bench.path(1)}`],
    });
    const asked: unknown[] = [];
    const ask: ImportRequest['ask'] = async ({ disks }) => {
      asked.push(...disks.map(({ holds }) => holds));
      return false;
    };
    await expect(bench.importDisks(bench.reference, { ...request, ask })).rejects.toMatchObject({ code: 'CONFIRM_NEEDED' });
    expect([asked, await bench.left()]).toEqual([
      ['nothing: it will be a new file', 'nothing: it will be a new file where the export says'],
      [],
    ]);
    await bench.importDisks(bench.reference, { ...request, ask: async () => true });
    expect(await bench.left()).toEqual(['new0.img', 'new1.img']);
  });

  test.each(['/etc/gantry-test.preload', '/root/gantry-test'])('are never created as %s', async (path) => {
    await using bench = await makeBench();
    const instance: Instance = { ...bench.target, disks: [{ path, access: 'rw' }] };
    const importing = bench.importDisks(bench.reference, { instance, createDisks: true, namedDisks: [], yes: true });
    await expect(importing).rejects.toMatchObject({ code: 'CONFIRM_NEEDED', disk: 0 });
    await expect(stat(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });
});

describe('after a kill', () => {
  const signal = new AbortController().signal;
  const undo = (step: string, disks: readonly object[]): Promise<boolean> =>
    newDisksUndo.undo({ kind: newDisksUndo.kind, step, disks }, { instance: 'x' }, signal);

  test.each([
    ['before all disks were complete, they are removed', 'writing', []],
    ['when all were complete, they get their names', 'complete', ['new0.img', 'new1.img']],
  ])('%s, and doing it again does no harm', async (_what, step, expected) => {
    await using bench = await makeBench();
    const disks = [0, 1].map((index) => ({ kind: 'file', index, path: bench.path(index), unfinished: `.gantry-1-${index}.unfinished` }));
    for (const { unfinished } of disks) await writeFile(bench.directory.file(unfinished), 'disk');
    await expect(undo(step, disks)).resolves.toBe(true);
    expect(await bench.left()).toEqual(expected);
    await expect(undo(step, disks)).resolves.toBe(false);
  });

  test('while names were taken back, all are removed, and a name that is another file is left alone', async () => {
    await using bench = await makeBench();
    const disks = [0, 1, 2].map((index) => ({ kind: 'file', index, path: bench.path(index), unfinished: `.gantry-1-${index}.unfinished` }));
    for (const { unfinished } of disks) await writeFile(bench.directory.file(unfinished), 'disk');
    await link(bench.directory.file('.gantry-1-0.unfinished'), bench.path(0));
    await writeFile(bench.path(1), 'theirs');
    await expect(undo('taking back', disks)).resolves.toBe(true);
    expect([await bench.left(), await readFile(bench.path(1), 'utf8')]).toEqual([['new1.img'], 'theirs']);
    await expect(undo('taking back', disks)).resolves.toBe(false);
  });

  test('a name that somebody else has taken since is left alone, and said', async () => {
    await using bench = await makeBench();
    await writeFile(bench.path(0), 'theirs');
    await writeFile(bench.directory.file('.gantry-1-0.unfinished'), 'disk');
    const disks = [{ kind: 'file', index: 0, path: bench.path(0), unfinished: '.gantry-1-0.unfinished' }];
    await expect(undo('complete', disks)).rejects.toThrow(`${bench.path(0)} exists`);
    expect(await readFile(bench.path(0), 'utf8')).toBe('theirs');
  });

  test.each([
    ['a file of another name', { kind: 'file', index: 0, path: '/srv/a.img', unfinished: 'b.img' }],
    ['a file elsewhere', { kind: 'file', index: 0, path: '/srv/a.img', unfinished: '.gantry-/../../x.unfinished' }],
    [
      'a volume of another name',
      { kind: 'volume', index: 0, path: '/dev/vg/a', group: 'vg', groupUuid: 'x', name: 'a', unfinished: 'data' },
    ],
  ])('%s is never removed', async (_what, disk) => {
    await expect(undo('writing', [disk])).rejects.toThrow();
  });
});
