import { copyFile, open, readFile, stat, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import {
  allocatedBytes,
  attachLoopDevice,
  compareTrees,
  makeExt4Image,
  makeRandomFile,
  makeSparseFile,
  mountImage,
  oneIn,
  sha256File,
} from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { exportDirectory, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

/** Exports with the given arguments and returns `INSTANCE@EXPORT-ID`. */
async function exportOk(bench: Workbench, instanceFile: string, ...options: readonly string[]): Promise<string> {
  const outcome = await bench.gantry('export', instanceFile, bench.store, ...options);
  expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0 });
  return lastLine(outcome.stdout);
}

async function importOk(bench: Workbench, reference: string, instanceFile: string, ...options: readonly string[]): Promise<void> {
  const outcome = await bench.gantry('import', bench.store, reference, '--to', instanceFile, ...options);
  expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0 });
}

const TAR_EXPORT = `
set -e
mount -o loop,ro "$EXPORT_DEVICE" "$PWD/mnt"
trap 'umount "$PWD/mnt"' EXIT
tar --xattrs --acls --numeric-owner --sparse -C mnt -cf - .`;

const TAR_IMPORT = `
set -e
mkfs.ext4 -q -F "$IMPORT_DEVICE"
mount -o loop "$IMPORT_DEVICE" "$PWD/mnt"
trap 'umount "$PWD/mnt"' EXIT
tar --xattrs --acls --numeric-owner -C mnt -xpf -
cat >/dev/null`;

const DUMP_EXPORT = `
set -e
loop=$(losetup --find --show --read-only "$EXPORT_DEVICE")
trap 'losetup --detach "$loop"' EXIT
dump -0 -q -f - "$loop"`;

const DUMP_IMPORT = `
set -e
mkfs.ext4 -q -F "$IMPORT_DEVICE"
mount -o loop "$IMPORT_DEVICE" "$PWD/mnt"
trap 'umount "$PWD/mnt"' EXIT
(cd mnt && TMPDIR=/tmp restore -r -f - && rm -f restoresymtable)
cat >/dev/null`;

describe('an ext4 file system with thousands of files', () => {
  // restore(8) of dump 0.4b47 does not bring back a name of 255 bytes, the longest that ext4 takes.
  const longest = /^odd names\/x{255}/;
  // The other sample definitions have a test of their own, in core.
  test.each(
    oneIn<[string, string, string, RegExp]>(2, [
      ['tar', TAR_EXPORT, TAR_IMPORT, /^$/],
      ['dump and restore', DUMP_EXPORT, DUMP_IMPORT, longest],
    ]),
  )('has an equal tree after scripts that use %s', async (_, exportScript, importScript, except) => {
    await using bench = await makeWorkbench();
    const home = await bench.defineOs('ext4', { export: exportScript, import: importScript });
    await execa('mkdir', [join(home, 'mnt')]);
    await makeExt4Image(bench.file('one.img'), { bytes: 256 * MIB, files: 3000 });
    await makeSparseFile(bench.file('two.img'), 256 * MIB);
    const source = await bench.describeInstance('one.example.com', { os: 'ext4', disks: ['one.img'] });
    const target = await bench.describeInstance('two.example.com', { os: 'ext4', disks: ['two.img'] });

    const reference = await exportOk(bench, source);
    await importOk(bench, reference, target);

    await using one = await mountImage(bench.file('one.img'), { readOnly: true });
    await using two = await mountImage(bench.file('two.img'), { readOnly: true });
    const differences = await compareTrees(one.path, two.path, { ignore: ['lost+found', '.'] });
    expect(differences.filter((difference) => !except.test(difference))).toEqual([]);
  });

  test('is equal byte by byte, and as sparse as before, after `raw`', async () => {
    await using bench = await makeWorkbench();
    await makeExt4Image(bench.file('one.img'), { bytes: 512 * MIB, files: 3000 });
    await makeSparseFile(bench.file('two.img'), 512 * MIB);
    const reference = await exportOk(bench, await bench.describeInstance('one.example.com', { disks: ['one.img'] }));
    await importOk(bench, reference, await bench.describeInstance('two.example.com', { disks: ['two.img'] }));

    expect(await sha256File(bench.file('two.img'))).toBe(await sha256File(bench.file('one.img')));
    expect(await allocatedBytes(bench.file('two.img'))).toBeLessThanOrEqual(await allocatedBytes(bench.file('one.img')));
  });
});

describe('a `raw` import', () => {
  test('leaves no old byte in what was a hole, on a file and on a block device', async () => {
    await using bench = await makeWorkbench();
    await makeSparseFile(bench.file('one.img'), 32 * MIB, [{ offset: 5 * MIB, bytes: 3 * MIB + 512, seed: 'data' }]);
    await makeRandomFile(bench.file('old.img'), 32 * MIB, 'old');
    await copyFile(bench.file('old.img'), bench.file('backing.img'));
    await using loop = await attachLoopDevice(bench.file('backing.img'));
    const reference = await exportOk(bench, await bench.describeInstance('one.example.com', { disks: ['one.img'] }));

    await importOk(bench, reference, await bench.describeInstance('file.example.com', { disks: ['old.img'] }));
    expect(await sha256File(bench.file('old.img'))).toBe(await sha256File(bench.file('one.img')));
    expect(await allocatedBytes(bench.file('old.img'))).toBeLessThan(4 * MIB);

    await importOk(bench, reference, await bench.describeInstance('block.example.com', { disks: [loop.path] }));
    expect(await sha256File(loop.path)).toBe(await sha256File(bench.file('one.img')));
  });

  test('does not change a larger disk beyond the end of the dump', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('one.img'), 3 * MIB, 'one');
    await makeRandomFile(bench.file('two.img'), 5 * MIB, 'two');
    const before = await readFile(bench.file('two.img'));
    const reference = await exportOk(bench, await bench.describeInstance('one.example.com', { disks: ['one.img'] }));
    await importOk(bench, reference, await bench.describeInstance('two.example.com', { disks: ['two.img'] }));
    const after = await readFile(bench.file('two.img'));
    expect(after.subarray(0, 3 * MIB).equals(await readFile(bench.file('one.img')))).toBe(true);
    expect(after.subarray(3 * MIB).equals(before.subarray(3 * MIB))).toBe(true);
  });
});

describe('an instance with three disks and an empty one', () => {
  test('runs one script per disk, in parallel, and restores all', async () => {
    await using bench = await makeWorkbench();
    // Each script waits until all four have started: run one after the other, they would wait forever.
    const together = (kind: string): string => `
: >"$PWD/${kind}.$${kind.toUpperCase()}_INDEX"
for i in 0 1 2 3; do while [ ! -e "$PWD/${kind}.$i" ]; do sleep 0.05; done; done`;
    await bench.defineOs('copy', {
      export: `${together('export')}\nexec cat "$EXPORT_DEVICE"`,
      import: `${together('import')}\nexec dd of="$IMPORT_DEVICE" bs=64k conv=notrunc iflag=fullblock status=none`,
    });
    const sizes = [1 * MIB, 9 * MIB + 4096, 17 * MIB, 0];
    for (const [index, bytes] of sizes.entries()) {
      await makeRandomFile(bench.file(`a${index}.img`), bytes, `disk ${index}`);
      await makeSparseFile(bench.file(`b${index}.img`), bytes);
    }
    const source = await bench.describeInstance('a.example.com', { os: 'copy', disks: sizes.map((_, i) => `a${i}.img`) });
    const target = await bench.describeInstance('b.example.com', { os: 'copy', disks: sizes.map((_, i) => `b${i}.img`) });

    const reference = await exportOk(bench, source, '--parallel', '4');
    await importOk(bench, reference, target, '--parallel', '4');
    for (const index of sizes.keys()) {
      expect(await sha256File(bench.file(`b${index}.img`))).toBe(await sha256File(bench.file(`a${index}.img`)));
    }
  });
});

describe('what an export leaves in a store', () => {
  test('is the documented layout, readable by sha256sum and zstd', async () => {
    await using bench = await makeWorkbench();
    await makeSparseFile(bench.file('disk.img'), 40 * MIB, [{ offset: 6 * MIB, bytes: 9 * MIB, seed: 'x' }]);
    const reference = await exportOk(bench, await bench.describeInstance('web1.example.com', { disks: ['disk.img'] }));
    expect(reference).toMatch(/^web1\.example\.com@\d{8}T\d{6}Z$/);
    const directory = exportDirectory(bench, reference);
    expect(await bench.stored()).toEqual(
      ['SHA256SUMS', 'config.ini', 'disk0.zst', 'frames.table', 'manifest.json'].map((name) => `${reference.replace('@', '/')}/${name}`),
    );

    await execa('sha256sum', ['-c', '--strict', 'SHA256SUMS'], { cwd: directory });
    const { stdout } = await execa('sh', ['-c', 'zstd -dc disk0.zst | sha256sum'], { cwd: directory });
    expect(stdout.split(' ')[0]).toBe(await sha256File(bench.file('disk.img')));
    expect((await stat(join(directory, 'disk0.zst'))).mode & 0o777).toBe(0o600);
    expect((await stat(directory)).mode & 0o777).toBe(0o700);
  });

  test('passes gzip -t with --codec gzip, and is the image itself with --codec none', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 9 * MIB, 'x');
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const zipped = await exportOk(bench, instance, '--codec', 'gzip', '--level', '1');
    await execa('gzip', ['-t', join(exportDirectory(bench, zipped), 'disk0.gz')]);
    const plain = await exportOk(bench, instance, '--codec', 'none');
    expect(await sha256File(join(exportDirectory(bench, plain), 'disk0.img'))).toBe(await sha256File(bench.file('disk.img')));
    for (const reference of [zipped, plain]) {
      await makeSparseFile(bench.file('copy.img'), 9 * MIB);
      await importOk(bench, reference, await bench.describeInstance('copy.example.com', { disks: ['copy.img'] }));
      expect(await sha256File(bench.file('copy.img'))).toBe(await sha256File(bench.file('disk.img')));
    }
  });

  test('is listed, shown, verified and removed', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 5 * MIB, 'x');
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const first = await exportOk(bench, instance);
    const second = await exportOk(bench, instance);
    expect(second).not.toBe(first);

    const list = await bench.gantry('list', bench.store);
    expect(list.stdout).toContain(first);
    expect(list.stdout).toContain(second);
    const show = await bench.gantry('show', bench.store, 'web1.example.com', '--json');
    expect(jsonLines(show.stdout).at(-1)).toMatchObject({ type: 'result', reference: second });
    expect(await bench.gantry('verify', bench.store, first)).toMatchObject({ exitCode: 0 });

    expect(await bench.gantry('remove', bench.store, first)).toMatchObject({ exitCode: 0 });
    const left = (await bench.stored()).filter((name) => !name.startsWith('gantry-verified/'));
    expect(left.every((name) => name.startsWith(second.replace('@', '/')))).toBe(true);
    expect(await bench.gantry('verify', bench.store, first)).toMatchObject({ exitCode: 9 });
    expect(await bench.gantry('remove', bench.store, 'web1.example.com')).toMatchObject({ exitCode: 2 });
  });

  test('holds only one disk with --disk, which can be imported alone too', async () => {
    await using bench = await makeWorkbench();
    for (const name of ['a0', 'a1', 'b0', 'b1']) await makeRandomFile(bench.file(`${name}.img`), 2 * MIB, name);
    const untouched = await sha256File(bench.file('b0.img'));
    const reference = await exportOk(bench, await bench.describeInstance('a.example.com', { disks: ['a0.img', 'a1.img'] }), '--disk', '1');
    await importOk(bench, reference, await bench.describeInstance('b.example.com', { disks: ['b0.img', 'b1.img'] }), '--disk', '1');
    expect(await sha256File(bench.file('b1.img'))).toBe(await sha256File(bench.file('a1.img')));
    expect(await sha256File(bench.file('b0.img'))).toBe(untouched);
  });
});

describe('an export that Ganeti made', () => {
  const config = (compression: string): string => `[export]
version = 0
timestamp = 1225000000
source = node1.example.com
os = raw
compression = ${compression}

[instance]
name = old.example.com
memory = 512
vcpus = 1
disk_template = plain
nic0_mac = aa:00:00:35:4c:01
nic0_ip = None
nic0_bridge = xen-br0
nic_count = 1
disk0_ivname = disk/0
disk0_dump = 3bd5-root.snap
disk0_size = 3
disk_count = 1
`;

  test.each([
    ['gzip, as in 2.0', 'gzip'],
    ['none, as today', 'none'],
  ])('is listed, shown and imported (%s), and is shown to have no checksums', async (_, compression) => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 3 * MIB, 'old');
    await makeSparseFile(bench.file('new.img'), 3 * MIB);
    await execa('mkdir', ['-p', join(bench.store, 'old.example.com')]);
    const dump = join(bench.store, 'old.example.com', '3bd5-root.snap');
    await copyFile(bench.file('disk.img'), dump);
    if (compression === 'gzip') {
      await execa('gzip', [dump]);
      await execa('mv', [`${dump}.gz`, dump]);
    }
    await writeFile(join(bench.store, 'old.example.com', 'config.ini'), config(compression));

    expect((await bench.gantry('list', bench.store)).stdout).toMatch(/VERIFIED\nold\.example\.com.*no checksums +\d+ d .* never\n/);
    expect((await bench.gantry('show', bench.store, 'old.example.com')).stdout).toMatch(/checksums/);
    await importOk(bench, 'old.example.com', await bench.describeInstance('new.example.com', { disks: ['new.img'] }));
    expect(await sha256File(bench.file('new.img'))).toBe(await sha256File(bench.file('disk.img')));
  });
});

describe('progress', () => {
  test('is a stream of JSON objects with --json, and the result is the last', async () => {
    await using bench = await makeWorkbench();
    await bench.defineOs('sized', {
      export: 'echo "$(stat -c %s "$EXPORT_DEVICE")" >&"$EXP_SIZE_FD"; echo hello >&2; exec cat "$EXPORT_DEVICE"',
      import: 'exec cat >"$IMPORT_DEVICE"',
    });
    await makeRandomFile(bench.file('disk.img'), 20 * MIB, 'x');
    const instance = await bench.describeInstance('web1.example.com', { os: 'sized', disks: ['disk.img'] });
    const { stdout } = await bench.gantry('export', instance, bench.store, '--json');
    const lines = jsonLines(stdout);
    expect(lines).toContainEqual(expect.objectContaining({ type: 'message', line: 'hello', disk: 0, stream: 'stderr' }));
    expect(lines.findLast(({ type }) => type === 'progress')).toMatchObject({ disk: 0, plainBytes: 20 * MIB, expectedBytes: 20 * MIB });
    expect(lines.at(-1)).toMatchObject({ type: 'result' });
    expect(lines.at(-1)?.['reference']).toMatch(/^web1\.example\.com@/);
  });

  test('shows the messages of scripts on stderr, and only the result on stdout', async () => {
    await using bench = await makeWorkbench();
    await bench.defineOs('talks', { export: 'echo "half way" >&2; exec cat "$EXPORT_DEVICE"', import: 'cat >/dev/null' });
    await makeRandomFile(bench.file('disk.img'), MIB, 'x');
    const instance = await bench.describeInstance('web1.example.com', { os: 'talks', disks: ['disk.img'] });
    const { stdout, stderr } = await bench.gantry('export', instance, bench.store);
    expect(stdout).toMatch(/^web1\.example\.com@\S+$/);
    expect(stderr).toContain('disk 0: half way');
  });
});

describe('create and rename', () => {
  test('run their scripts with the environment they need', async () => {
    await using bench = await makeWorkbench();
    await bench.defineOs('new', {
      create: 'echo "create reinstall=${INSTANCE_REINSTALL:-absent} $INSTANCE_NAME" >>"$PWD/log"; printf made >"$DISK_0_PATH"',
      rename: 'echo "rename $OLD_INSTANCE_NAME $INSTANCE_NAME" >>"$PWD/log"',
    });
    await truncate(await touch(bench.file('disk.img')), MIB);
    const instance = await bench.describeInstance('web1.example.com', { os: 'new', disks: ['disk.img'] });
    expect(await bench.gantry('create', instance)).toMatchObject({ exitCode: 0 });
    expect(await bench.gantry('create', instance, '--reinstall')).toMatchObject({ exitCode: 0 });
    expect(await bench.gantry('rename', instance, 'web2.example.com')).toMatchObject({ exitCode: 0 });
    expect(await readFile(bench.file('os', 'new', 'log'), 'utf8')).toBe(
      'create reinstall=absent web1.example.com\ncreate reinstall=1 web1.example.com\nrename web1.example.com web2.example.com\n',
    );
  });
});

async function touch(path: string): Promise<string> {
  await using file = await open(path, 'w');
  void file;
  return path;
}
