import { execFile } from 'node:child_process';
import { link, mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { TemporaryDirectory } from '@gantry/testkit';
import { attachLoopDevice, makeTemporaryDirectory, mountNewXfs, mountReadOnly } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import type { GantryError } from '../report/errors.ts';
import { inspectDisks } from './inspect-disks.ts';
import type { Disk, Instance } from '../instances/model.ts';

const MIB = 1024 ** 2;
const run = promisify(execFile);

function withDisks(...disks: readonly (Partial<Disk> & { readonly path?: string })[]): Instance {
  return {
    name: 'web1.example.com',
    os: 'raw',
    hypervisor: 'kvm',
    primary_node: 'node1',
    secondary_nodes: [],
    tags: [],
    disks: disks.map((disk): Disk => Object.assign({ access: 'rw' } as const, disk)),
    nics: [],
    osparams: {},
    osparams_private: {},
    beparams: {},
    hvparams: {},
  };
}

async function makeDisk(scratch: TemporaryDirectory, name: string, bytes: number): Promise<string> {
  await writeFile(scratch.file(name), '', { mode: 0o600 });
  await truncate(scratch.file(name), bytes);
  return scratch.file(name);
}

async function refusal(inspecting: Promise<unknown>): Promise<GantryError> {
  return inspecting.then(
    () => Promise.reject(new Error('accepted')),
    (error: GantryError) => error,
  );
}

async function asNobody<T>(work: () => Promise<T>): Promise<T> {
  process.seteuid?.(65_534);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}

describe('what is found', () => {
  test('the size of a file, rounded up to whole MiB, and how it is attached', async () => {
    await using scratch = await makeTemporaryDirectory();
    const path = await makeDisk(scratch, 'a.img', 3 * MIB + 1);
    const found = await inspectDisks(withDisks({ path }), { purpose: 'export' });
    expect(found.instance.disks).toEqual([{ path, access: 'rw', size: 4, backend_type: 'file:loop' }]);
    expect(found.diskBytes).toEqual([3 * MIB + 1]);
    expect(found.warnings).toEqual([]);
  });

  test('the size of a block device, by any of its names', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using device = await attachLoopDevice(await makeDisk(scratch, 'a.img', 5 * MIB + 512));
    await symlink(device.path, scratch.file('link'));
    const found = await inspectDisks(withDisks({ path: scratch.file('link') }), { purpose: 'import' });
    expect(found.instance.disks[0]).toEqual({ path: scratch.file('link'), access: 'rw', size: 6, backend_type: 'block' });
    expect(found.diskBytes).toEqual([5 * MIB + 512]);
  });

  test('an empty file is a disk of size 0', async () => {
    await using scratch = await makeTemporaryDirectory();
    const found = await inspectDisks(withDisks({ path: await makeDisk(scratch, 'a.img', 0) }), { purpose: 'export' });
    expect(found.instance.disks[0]?.size).toBe(0);
    expect(found.diskBytes).toEqual([0]);
  });

  test('values of the instance file are kept, with a warning if the size differs', async () => {
    await using scratch = await makeTemporaryDirectory();
    const same: Partial<Disk> = { path: await makeDisk(scratch, 'a.img', 4 * MIB), size: 4, backend_type: 'file:blktap' };
    const other: Partial<Disk> = { path: await makeDisk(scratch, 'b.img', 4 * MIB), size: 5 };
    const found = await inspectDisks(withDisks(same, other), { purpose: 'export' });
    expect(found.instance.disks).toMatchObject([
      { size: 4, backend_type: 'file:blktap' },
      { size: 5, backend_type: 'file:loop' },
    ]);
    expect(found.diskBytes).toEqual([4 * MIB, 4 * MIB]);
    expect(found.warnings).toEqual([{ disk: 1, message: `${other.path} has 4 MiB, but the instance file says 5: scripts get 5` }]);
  });

  test('a disk with only a URI is not changed', async () => {
    const instance = withDisks({ uri: 'rbd:pool/image', size: 10 });
    expect(await inspectDisks(instance, { purpose: 'import' })).toEqual({ instance, diskBytes: [undefined], warnings: [] });
  });

  test('a disk that is not used may be missing or read-only; if it exists, scripts get its size', async () => {
    await using scratch = await makeTemporaryDirectory();
    const path = await makeDisk(scratch, 'a.img', MIB);
    const readOnly = await makeDisk(scratch, 'b.img', 2 * MIB);
    const instance = withDisks({ path }, { path: readOnly, access: 'ro' }, { path: scratch.file('missing') });
    const found = await inspectDisks(instance, { purpose: 'import', disks: [0] });
    expect(found.diskBytes).toEqual([MIB, 2 * MIB, undefined]);
    expect(found.instance.disks[2]).toEqual({ path: scratch.file('missing'), access: 'rw' });
  });

  test('a read-only disk can be exported', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using device = await attachLoopDevice(await makeDisk(scratch, 'a.img', MIB), { readOnly: true });
    await makeDisk(scratch, 'b.img', MIB);
    await using view = await mountReadOnly(scratch.path);
    const instance = withDisks({ path: device.path, access: 'ro' }, { path: view.file('b.img') });
    expect((await inspectDisks(instance, { purpose: 'export' })).diskBytes).toEqual([MIB, MIB]);
  });
});

describe('what is refused, with the disk', () => {
  test('a disk that does not exist', async () => {
    await using scratch = await makeTemporaryDirectory();
    const instance = withDisks({ path: await makeDisk(scratch, 'a.img', MIB) }, { path: scratch.file('b.img') });
    const error = await refusal(inspectDisks(instance, { purpose: 'export' }));
    expect(error).toMatchObject({
      code: 'DISK_MISSING',
      disk: 1,
      message: `cannot open disk 1 (${scratch.file('b.img')}): it does not exist`,
    });
    const belowFile = withDisks({ path: scratch.file('a.img', 'x') });
    expect(await refusal(inspectDisks(belowFile, { purpose: 'export' }))).toMatchObject({ code: 'DISK_MISSING' });
  });

  test('a path that is neither a file nor a block device, without waiting for a pipe', async () => {
    await using scratch = await makeTemporaryDirectory();
    await mkdir(scratch.file('directory'));
    await run('mkfifo', [scratch.file('pipe')]);
    for (const [path, kind] of [
      [scratch.file('directory'), 'a directory'],
      [scratch.file('pipe'), 'a named pipe'],
      ['/dev/zero', 'a character device'],
    ] as const) {
      const error = await refusal(inspectDisks(withDisks({ path }), { purpose: 'export' }));
      expect(error).toMatchObject({ code: 'DISK_KIND', disk: 0, message: `cannot open disk 0 (${path}): it is ${kind}` });
    }
  });

  test('a disk that this user may not open', async () => {
    await using scratch = await makeTemporaryDirectory();
    const path = await makeDisk(scratch, 'a.img', MIB);
    await run('chmod', ['755', scratch.path]);
    const error = await asNobody(() => refusal(inspectDisks(withDisks({ path }), { purpose: 'export' })));
    expect(error).toMatchObject({ code: 'DISK_DENIED', disk: 0 });
    await run('chmod', ['700', scratch.path]);
    expect(await asNobody(() => refusal(inspectDisks(withDisks({ path }), { purpose: 'export' })))).toMatchObject({ code: 'DISK_DENIED' });
  });

  test.each(['import', 'create'] as const)('a read-only disk, for %s', async (purpose) => {
    await using scratch = await makeTemporaryDirectory();
    const path = await makeDisk(scratch, 'a.img', MIB);
    await using device = await attachLoopDevice(path, { readOnly: true });
    await using view = await mountReadOnly(scratch.path);
    for (const disk of [{ path, access: 'ro' as const }, { path: device.path }, { path: view.file('a.img') }]) {
      expect(await refusal(inspectDisks(withDisks(disk), { purpose }))).toMatchObject({ code: 'DISK_READ_ONLY', disk: 0 });
    }
    expect(await refusal(inspectDisks(withDisks({ uri: 'rbd:pool/image', access: 'ro' }), { purpose }))).toMatchObject({
      code: 'DISK_READ_ONLY',
    });
  });

  test('a file that root may not write either', async () => {
    await using mounted = await mountNewXfs();
    const path = mounted.file('a.img');
    await writeFile(path, 'data');
    await run('chattr', ['+i', path]);
    expect(await refusal(inspectDisks(withDisks({ path }), { purpose: 'import' }))).toMatchObject({ code: 'DISK_READ_ONLY' });
    expect((await inspectDisks(withDisks({ path }), { purpose: 'export' })).diskBytes).toEqual([4]);
  });

  test('two disks that are one file: by a symbolic link, and by a hard link', async () => {
    await using scratch = await makeTemporaryDirectory();
    const path = await makeDisk(scratch, 'a.img', MIB);
    await symlink(path, scratch.file('b.img'));
    await link(path, scratch.file('c.img'));
    for (const other of ['b.img', 'c.img']) {
      const error = await refusal(inspectDisks(withDisks({ path }, { path: scratch.file(other) }), { purpose: 'export' }));
      expect(error).toMatchObject({
        code: 'INSTANCE_INVALID',
        message: `disks 0 and 1 of web1.example.com are the same disk: ${path} and ${scratch.file(other)}`,
      });
    }
  });

  test('two disks that are one device, though its nodes are different files; even if only one of them is used', async () => {
    await using scratch = await makeTemporaryDirectory();
    await using device = await attachLoopDevice(await makeDisk(scratch, 'a.img', MIB));
    const { stdout } = await run('stat', ['--format=%Hr %Lr', device.path]);
    await run('mknod', [scratch.file('node'), 'b', ...stdout.trim().split(' ')]);
    const instance = withDisks({ path: device.path }, { path: scratch.file('node') });
    const error = await refusal(inspectDisks(instance, { purpose: 'import', disks: [1] }));
    expect(error).toMatchObject({ code: 'INSTANCE_INVALID', message: expect.stringContaining('are the same disk') });
  });

  test('a file, and the loop device that shows it', async () => {
    await using scratch = await makeTemporaryDirectory();
    const path = await makeDisk(scratch, 'a.img', MIB);
    await using device = await attachLoopDevice(path);
    const error = await refusal(inspectDisks(withDisks({ path }, { path: device.path }), { purpose: 'import' }));
    expect(error).toMatchObject({ code: 'INSTANCE_INVALID', message: expect.stringContaining('are the same disk') });
  });

  test('a disk that the instance does not have', async () => {
    const error = await refusal(inspectDisks(withDisks(), { purpose: 'export', disks: [2] }));
    expect(error).toMatchObject({
      code: 'DISK_UNKNOWN',
      disk: 2,
      message: 'web1.example.com has no disk 2: its disks are numbered from 0, and it has 0',
    });
  });

  test('everything, if the caller has cancelled', async () => {
    const reason = new Error('enough');
    const inspecting = inspectDisks(withDisks({ path: '/nonexistent' }), { purpose: 'export', signal: AbortSignal.abort(reason) });
    await expect(inspecting).rejects.toBe(reason);
  });
});

test('inspecting changes nothing: a disk that will be written keeps its bytes and its time', async () => {
  await using scratch = await makeTemporaryDirectory();
  await writeFile(scratch.file('a.img'), 'data');
  await run('touch', ['--date=2001-01-01', scratch.file('a.img')]);
  await inspectDisks(withDisks({ path: scratch.file('a.img') }), { purpose: 'import' });
  const { stdout } = await run('stat', ['--format=%s %y', scratch.file('a.img')]);
  expect(stdout).toMatch(/^4 2001-01-01/);
});
