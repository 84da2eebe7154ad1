import { copyFile, readdir, readFile, writeFile } from 'node:fs/promises';
import { execa } from 'execa';
import { makeTemporaryDirectory, startGuest } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import type { Instance } from '../instances/model.ts';
import { checkSnapshots } from '../operations/check-snapshots.ts';
import { createImageProvider } from './image.ts';
import type { SnapshotRecord } from './provider.ts';

const MIB = 1024 * 1024;
const { signal } = new AbortController();

let bench: OperationBench;
let content: Buffer;

/** 4 MiB: data, a hole, and data that is not on a boundary of clusters. */
beforeAll(async () => {
  bench = await makeOperationBench({});
  content = Buffer.alloc(4 * MIB);
  content.fill('first', 0, 100_000);
  content.fill('second', 3 * MIB + 12_345, 4 * MIB - 7);
  await writeFile(bench.directory.file('raw.img'), content);
  for (const format of ['qcow2', 'vmdk', 'vhdx'])
    await execa('qemu-img', ['convert', '-O', format, bench.directory.file('raw.img'), bench.directory.file(`disk.${format}`)]);
});

afterAll(() => bench[Symbol.asyncDispose]());

const file = (name: string): string => bench.directory.file(name);

function instanceWith(uri: string): Instance {
  return { ...bench.instance, disks: [{ uri, access: 'rw' }] };
}

async function qemuNbds(): Promise<readonly string[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')));
  return lines.filter((line) => line.startsWith('qemu-nbd') && line.includes(bench.directory.path));
}

test.each(['qcow2', 'vmdk', 'vhdx'])('an image in %s is exported as a guest sees it, and nothing of its server is left', async (format) => {
  const { reference, dumps } = await bench.exportDisks({ instance: instanceWith(`${format}:${file(`disk.${format}`)}`), snapshot: 'auto' });
  expect(dumps).toMatchObject([{ snapshot: 'image', plainBytes: 4 * MIB }]);
  const path = file(`${format}.img`);
  await bench.importDisks(reference, { instance: { ...bench.instance, disks: [{ path, access: 'rw' }] }, createDisks: true });
  expect((await readFile(path)).equals(content)).toBe(true);
  expect(await qemuNbds()).toEqual([]);
  expect(await readdir(file('state/runs'))).toEqual([]);
});

test('scripts read an image as a file, as a guest sees it', async () => {
  await using scripted = await makeOperationBench({ scripts: { export: 'test ! -b "$EXPORT_DEVICE" && cat "$EXPORT_DEVICE"' } });
  const instance = { ...scripted.instance, disks: [{ uri: `qcow2:${file('disk.qcow2')}`, access: 'rw' }] } as const;
  const { reference, dumps } = await scripted.exportDisks({ instance, snapshot: 'auto' });
  expect(dumps).toMatchObject([{ snapshot: 'image', plainBytes: 4 * MIB }]);
  await scripted.importDisks(reference);
  expect((await readFile(scripted.instance.disks[0]?.path ?? '')).equals(content)).toBe(true);
  expect(await readdir(scripted.directory.file('state/runs'))).toEqual([]);
});

test('a path that leads to an image is exported as it is, with a warning', async () => {
  const { warnings, plainBytes } = await bench.exportDisks({
    instance: { ...bench.instance, disks: [{ path: file('disk.qcow2'), access: 'rw' }] },
  });
  expect(plainBytes).toBeLessThan(4 * MIB);
  expect(warnings).toContainEqual(
    expect.stringMatching(/disk\.qcow2 holds a qcow2 image, and is exported as it is.* uri: qcow2:.*disk\.qcow2$/),
  );
});

describe('an image is refused', () => {
  const whyNot = async (uri: string, os = 'raw'): Promise<string> => {
    const { disks } = await checkSnapshots({ instance: { ...instanceWith(uri), os }, snapshot: 'image' });
    return disks[0]?.what ?? '';
  };

  test.each([
    [
      'with a backing file',
      ['create', '-q', '-f', 'qcow2', '-b', 'disk.qcow2', '-F', 'qcow2', 'refused.img'],
      /refers to disk\.qcow2, and only/,
    ],
    [
      'with a data file',
      ['create', '-q', '-f', 'qcow2', '-o', 'data_file=data.raw', 'refused.img', '1M'],
      /refers to a data file, and only/,
    ],
    ['of another format', ['create', '-q', '-f', 'raw', 'refused.img', '1M'], /not in qcow2 format/],
  ])('%s', async (_what, args, message) => {
    await execa('qemu-img', args, { cwd: bench.directory.path });
    expect(await whyNot(`qcow2:${file('refused.img')}`)).toMatch(message);
    const exporting = bench.exportDisks({ instance: instanceWith(`qcow2:${file('refused.img')}`), snapshot: 'auto' });
    await expect(exporting).rejects.toMatchObject({ code: 'SNAPSHOT_UNSUPPORTED' });
  });

  // QEMU has opened what the header refers to by then, and its server ends with the export.
  test.each([
    ['qcow2', 'a data file', ['create', '-q', '-f', 'qcow2', '-o', 'data_file=SECRET,data_file_raw=on', 'other.vmdk', '4M']],
    ['vmdk', 'an extent', ['create', '-q', '-f', 'vmdk', '-o', 'subformat=monolithicFlat', 'other.vmdk', '4M']],
  ] as const)('in %s that gets %s after it was checked', async (format, _what, args) => {
    await using own = await makeTemporaryDirectory();
    const secret = own.file('other-flat.vmdk');
    await execa(
      'qemu-img',
      args.map((each) => each.replace('SECRET', secret)),
      { cwd: own.path },
    );
    const path = own.file('image');
    await copyFile(file(`disk.${format}`), path);
    const provider = createImageProvider(own.file('scratch'));
    const request = { index: 0, disk: { uri: `${format}:${path}`, access: 'rw' } } as const;
    const records: SnapshotRecord[] = [];
    const remember = async (record: SnapshotRecord): Promise<void> => {
      // The second time, its server is about to start.
      if (records.push(record) === 2) await copyFile(own.file('other.vmdk'), path);
    };
    const prepared = await provider.prepare([request], { runId: 'run', instanceName: 'web1', remember, warn: () => undefined, signal });
    await prepared.take();
    const opened = await prepared.open().catch((error: unknown) => error);
    for (const record of records.slice(-1)) await provider.drop(record, signal);
    expect(opened).toMatchObject({
      code: 'SNAPSHOT_FAILED',
      message: expect.stringContaining(`the image changed after it was checked, and now refers to ${secret}`),
    });
    expect(await readdir(own.file('scratch'))).toEqual([]);
  });

  test('while a guest uses it', async () => {
    await using _guest = await startGuest(file('disk.qcow2'), { format: 'qcow2' });
    expect(await whyNot(`qcow2:${file('disk.qcow2')}`)).toMatch(/is in use: .*qemu|lock/);
  });

  test('that is not there', async () => {
    expect(await whyNot(`qcow2:${file('nothing')}`)).toMatch(/no such file/i);
  });
});
