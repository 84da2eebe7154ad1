import { appendFile, chmod, mkdir, open, readFile, readdir, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { attachLoopDevice, makeRandomFile, makeSparseFile, mountNewTmpfs, mountReadOnly, oneIn, sha256File } from '@gantry/testkit';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import type { Outcome, Workbench } from './workbench.ts';
import { MAIN, exportDirectory, jsonLines, lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

/** The file that npm links as `gantry`. */
const BIN = fileURLToPath(new URL('../bin/gantry.cjs', import.meta.url));

/** Expects this exit code, a message that matches, no stack trace and nothing on stdout. */
function expectFailure(outcome: Outcome, exitCode: number, ...says: readonly (string | RegExp)[]): void {
  expect(outcome.exitCode, outcome.stderr).toBe(exitCode);
  for (const text of says) expect(outcome.stderr).toMatch(text);
  expect(outcome.stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
  expect(outcome.stdout).toBe('');
}

/** Expects that nothing is left in the store or in the journal. */
async function expectNothingLeft(bench: Workbench): Promise<void> {
  expect(await bench.stored()).toEqual([]);
  expect(await bench.journal()).toEqual([]);
}

async function benchWithDisk(): Promise<Workbench> {
  const bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), 6 * MIB, 'disk');
  return bench;
}

describe('OS definitions that cannot be used', () => {
  const cases: readonly (readonly [title: string, os: string, code: string, says: RegExp])[] = [
    ['no such definition', 'nowhere', 'OS_NOT_FOUND', /nowhere/],
    ['a name that is a path', '../etc', 'OS_NAME_INVALID', /\.\.\/etc/],
    ['a wrong API version', 'api5', 'OS_INVALID', /5/],
    ['no API version', 'noapi', 'OS_INVALID', /ganeti_api_version/],
    ['a script that is not executable', 'noexec', 'OS_INVALID', /execut/],
    ['export without import', 'half', 'OS_INVALID', /import/],
    ['no create script', 'nocreate', 'OS_INVALID', /create/],
    ['a hypervisor that is not supported', 'xenonly', 'OS_HYPERVISOR', /xen-pvm/],
    ['an unlisted variant', 'variants+three', 'OS_VARIANT', /one, two|one.*two/s],
    ['a variant where there are none', 'create-only+x', 'OS_VARIANT', /variant/],
    ['no export script', 'create-only', 'OS_OPERATION_UNSUPPORTED', /export/],
  ];
  test.each(cases)('%s: %s gets %s', async (_, os, code, says) => {
    await using bench = await benchWithDisk();
    const copy = { export: 'cat "$EXPORT_DEVICE"', import: 'cat >/dev/null' };
    await bench.defineOs('api5', { ...copy, ganeti_api_version: '5\n' });
    await bench.defineOs('noapi', copy);
    await rm(bench.file('os', 'noapi', 'ganeti_api_version'));
    await bench.defineOs('noexec', copy);
    await chmod(bench.file('os', 'noexec', 'export'), 0o644);
    await bench.defineOs('half', { export: 'cat "$EXPORT_DEVICE"' });
    await bench.defineOs('nocreate', copy);
    await rm(bench.file('os', 'nocreate', 'create'));
    await bench.defineOs('xenonly', { ...copy, hypervisors: 'xen-pvm\n' });
    await bench.defineOs('variants', { ...copy, 'variants.list': 'one\ntwo\n' });
    await bench.defineOs('create-only', {});
    const instance = await bench.describeInstance('web1.example.com', { os, disks: ['disk.img'] });
    expectFailure(await bench.gantry('export', instance, bench.store), 4, code, says);
    await expectNothingLeft(bench);
  });

  test('refuses unknown parameters and those that the verify script refuses, without showing private values', async () => {
    await using bench = await benchWithDisk();
    await bench.defineOs('params', {
      export: 'cat "$EXPORT_DEVICE"',
      import: 'cat >/dev/null',
      'parameters.list': 'filesystem The file system\nroot_password The password\n',
      verify: 'test "$1" = parameters || exit 3; test "$OSP_FILESYSTEM" = ext4 || { echo "filesystem must be ext4" >&2; exit 1; }',
    });
    const unknown = await bench.describeInstance('a.example.com', {
      os: 'params',
      disks: ['disk.img'],
      more: 'osparams: {filesytem: ext4}',
    });
    expectFailure(await bench.gantry('export', unknown, bench.store), 4, 'OS_PARAMETER', /filesytem.*filesystem/s);
    const refused = await bench.describeInstance('b.example.com', {
      os: 'params',
      disks: ['disk.img'],
      more: 'osparams: {filesystem: fat}\nosparams_private: {root_password: hunter2}',
    });
    const outcome = await bench.gantry('export', refused, bench.store);
    expectFailure(outcome, 4, 'OS_PARAMETER', /filesystem must be ext4/);
    expect(outcome.stderr).not.toContain('hunter2');
    expectFailure(await bench.gantry('os', 'check', 'params', '-O', 'filesystem=fat'), 4, /filesystem must be ext4/);
    expect(await bench.gantry('os', 'check', 'params', '-O', 'filesystem=ext4')).toMatchObject({ exitCode: 0 });
    await expectNothingLeft(bench);
  });
});

describe('instance files', () => {
  const cases: readonly (readonly [title: string, text: string, code: string, says: RegExp])[] = [
    ['not YAML', 'name: [', 'INSTANCE_FILE_SYNTAX', /web1\.yaml/],
    [
      'wrong types',
      'name: a.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: disk.img\n    size: big\n',
      'INSTANCE_INVALID',
      /disks\[0\]\.size/,
    ],
    ['an unknown field', 'name: a.example.com\nos: raw\nhypervisor: kvm\ndisk: []\n', 'INSTANCE_INVALID', /disk.*disks/s],
    ['a name that is not a host name', 'name: ../../etc\nos: raw\nhypervisor: kvm\n', 'INSTANCE_INVALID', /name/],
    [
      'two disks with one path',
      'name: a.example.com\nos: raw\nhypervisor: kvm\ndisks:\n  - path: disk.img\n  - path: ./disk.img\n',
      'INSTANCE_INVALID',
      /disks\[1\]/,
    ],
  ];
  test.each(cases)('%s', async (_, text, code, says) => {
    await using bench = await benchWithDisk();
    await writeFile(bench.file('web1.yaml'), text);
    expectFailure(await bench.gantry('export', 'web1.yaml', bench.store), 3, code, says);
    await expectNothingLeft(bench);
  });

  test('that do not exist', async () => {
    await using bench = await benchWithDisk();
    expectFailure(await bench.gantry('export', 'nowhere.yaml', bench.store), 3, 'INSTANCE_FILE_UNREADABLE', /nowhere\.yaml/);
  });
});

describe('disks', () => {
  test('that were not exported are not changed, and the import says so', async () => {
    await using bench = await benchWithDisk();
    for (const name of ['other.img', 'a.img', 'b.img']) await makeRandomFile(bench.file(name), 6 * MIB, name);
    const before = await sha256File(bench.file('b.img'));
    const source = await bench.describeInstance('web1.example.com', { disks: ['disk.img', 'other.img'] });
    const target = await bench.describeInstance('web2.example.com', { disks: ['a.img', 'b.img'] });
    const one = lastLine((await bench.gantry('export', source, bench.store, '--disk', '0')).stdout);
    const imported = await bench.gantry('import', bench.store, one, '--to', target);
    expect(imported.exitCode, imported.stderr).toBe(0);
    expect(imported.stderr).toMatch(/warning: disk 1: .* has no dump of this disk, .*it is not changed/);
    expect(await sha256File(bench.file('b.img'))).toBe(before);
    expect((await bench.gantry('import', bench.store, one, '--to', target, '--disk', '0')).stderr).not.toMatch(/no dump/);
  });

  test('of which an export of Ganeti has none: nothing is written, and the import says so', async () => {
    await using bench = await benchWithDisk();
    await mkdir(join(bench.store, 'web1.example.com'));
    const config = '[export]\nversion = 0\nos = raw\ncompression = none\n[instance]\nname = web1.example.com\ndisk_count = 1\n';
    await writeFile(join(bench.store, 'web1.example.com', 'config.ini'), `${config}disk0_size = 6\ndisk0_dump = False\n`);
    const target = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const imported = await bench.gantry('import', bench.store, 'web1.example.com', '--to', target);
    expect(imported.stderr).toMatch(/warning: .*has no dump of any disk: nothing is written/);
  });

  test('a target as large as the original is not called smaller, even if its size is not a multiple of 1 MiB', async () => {
    await using bench = await makeWorkbench();
    for (const name of ['disk.img', 'target.img']) await makeRandomFile(bench.file(name), 5_000_000, name);
    await bench.defineOs('copy', { export: 'cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"' });
    const source = await bench.describeInstance('web1.example.com', { os: 'copy', disks: ['disk.img'] });
    const exported = await bench.gantry('export', source, bench.store);
    const target = await bench.describeInstance('web2.example.com', { os: 'copy', disks: ['target.img'] });
    const imported = await bench.gantry('import', bench.store, lastLine(exported.stdout), '--to', target);
    expect(imported.exitCode, imported.stderr).toBe(0);
    expect(imported.stderr).not.toMatch(/smaller/);
  });

  test('that are missing, or neither file nor device, are named', async () => {
    await using bench = await benchWithDisk();
    await mkdir(bench.file('directory'));
    for (const [disk, code] of [
      ['missing.img', 'DISK_MISSING'],
      ['directory', 'DISK_KIND'],
      ['/dev/null', 'DISK_KIND'],
    ] as const) {
      const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img', disk] });
      expectFailure(await bench.gantry('export', instance, bench.store), 5, code, disk);
    }
    await expectNothingLeft(bench);
  });

  test('that are read-only are refused on import, and are not changed', async () => {
    await using bench = await benchWithDisk();
    const exported = await bench.gantry('export', await bench.describeInstance('a.example.com', { disks: ['disk.img'] }), bench.store);
    const reference = lastLine(exported.stdout);
    await mkdir(bench.file('disks'));
    await makeRandomFile(bench.file('disks', 'b.img'), 6 * MIB, 'before');
    const before = await sha256File(bench.file('disks', 'b.img'));
    await using readOnly = await mountReadOnly(bench.file('disks'));
    await using loop = await attachLoopDevice(bench.file('disks', 'b.img'), { readOnly: true });
    for (const disk of [readOnly.file('b.img'), loop.path, 'path: disks/b.img\n    access: ro']) {
      const target = await bench.describeInstance('b.example.com', { disks: [disk] });
      expectFailure(await bench.gantry('import', bench.store, reference, '--to', target), 5, 'DISK_READ_ONLY');
    }
    expect(await sha256File(bench.file('disks', 'b.img'))).toBe(before);
  });

  test('that are fewer than the export has, or smaller than a raw dump, are refused before anything is written', async () => {
    await using bench = await benchWithDisk();
    await makeRandomFile(bench.file('disk1.img'), MIB, 'disk1');
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img', 'disk1.img'] });
    const reference = lastLine((await bench.gantry('export', source, bench.store)).stdout);
    await makeRandomFile(bench.file('b0.img'), 6 * MIB, 'b0');
    await makeRandomFile(bench.file('b1.img'), MIB - 512, 'b1');
    const before = await sha256File(bench.file('b0.img'));
    const few = await bench.describeInstance('few.example.com', { disks: ['b0.img'] });
    expectFailure(await bench.gantry('import', bench.store, reference, '--to', few), 5, 'DISK_TOO_FEW');
    const small = await bench.describeInstance('small.example.com', { disks: ['b0.img', 'b1.img'] });
    expectFailure(await bench.gantry('import', bench.store, reference, '--to', small), 5, 'DISK_TOO_SMALL', /disk 1/);
    expect(await sha256File(bench.file('b0.img'))).toBe(before);
  });

  test('that the instance does not have are refused with --disk', async () => {
    await using bench = await benchWithDisk();
    const instance = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    expectFailure(await bench.gantry('export', instance, bench.store, '--disk', '3'), 5, 'DISK_UNKNOWN', /3/);
    // Before the store is asked for the export.
    const nowhere = ['import', bench.store, 'b.example.com', '--to', instance, '--disk', '3'];
    expectFailure(await bench.gantry(...nowhere), 5, 'DISK_UNKNOWN', /3/);
  });
});

describe('export scripts that fail', () => {
  const cases: readonly (readonly [title: string, script: string, code: string, says: RegExp])[] = [
    ['with a status', 'echo "cannot read it" >&2; head -c 5000000 /dev/zero; exit 3', 'SCRIPT_FAILED', /status 3[\s\S]*cannot read it/],
    ['by a signal', 'head -c 5000000 /dev/urandom; kill -9 $$', 'SCRIPT_SIGNALLED', /SIGKILL/],
    ['after closing stdout early', 'head -c 100000 /dev/zero; exec >&-; exit 7', 'SCRIPT_FAILED', /status 7/],
    ['without writing anything', 'exit 1', 'SCRIPT_FAILED', /status 1/],
  ];
  test.each(cases)('%s', async (_, script, code, says) => {
    await using bench = await benchWithDisk();
    await bench.defineOs('bad', { export: script, import: 'cat >/dev/null' });
    const instance = await bench.describeInstance('web1.example.com', { os: 'bad', disks: ['disk.img'] });
    expectFailure(await bench.gantry('export', instance, bench.store), 6, code, says);
    await expectNothingLeft(bench);
  });

  test('a script that succeeds without writing anything makes an empty dump, which can be imported', async () => {
    await using bench = await benchWithDisk();
    await bench.defineOs('empty', { export: 'exit 0', import: 'test "$(wc -c)" = 0' });
    const instance = await bench.describeInstance('web1.example.com', { os: 'empty', disks: ['disk.img'] });
    const exported = await bench.gantry('export', instance, bench.store);
    expect(exported.exitCode, exported.stderr).toBe(0);
    expect(exported.stderr).toMatch(/warning: disk 0:.*nothing/);
    expect(await bench.gantry('import', bench.store, lastLine(exported.stdout), '--to', instance)).toMatchObject({ exitCode: 0 });
  });

  test('end the scripts of the other disks', async () => {
    await using bench = await benchWithDisk();
    await makeRandomFile(bench.file('disk1.img'), MIB, 'disk1');
    await bench.defineOs('mixed', {
      export: 'test "$EXPORT_INDEX" = 1 && exit 9; echo $$ >"$PWD/pid"; while :; do sleep 1; done',
      import: 'cat >/dev/null',
    });
    const instance = await bench.describeInstance('web1.example.com', { os: 'mixed', disks: ['disk.img', 'disk1.img'] });
    expectFailure(await bench.gantry('export', instance, bench.store, '--parallel', '2'), 6, 'SCRIPT_FAILED', /disk 1/);
    await expectNothingLeft(bench);
  });
});

describe('import scripts that fail', () => {
  test.each([
    ['exit before reading all', 'head -c 1000 >/dev/null; exit 0', 'SCRIPT_CLOSED_INPUT'],
    ['exit with a status', 'cat >/dev/null; echo "no room" >&2; exit 4', 'SCRIPT_FAILED'],
  ])('%s', async (_, script, code) => {
    await using bench = await benchWithDisk();
    await bench.defineOs('bad', { export: 'cat "$EXPORT_DEVICE"', import: script });
    const instance = await bench.describeInstance('web1.example.com', { os: 'bad', disks: ['disk.img'] });
    const exported = await bench.gantry('export', instance, bench.store);
    expectFailure(await bench.gantry('import', bench.store, lastLine(exported.stdout), '--to', instance), 6, code, /disk 0/);
  });
});

describe('damage in the store', () => {
  const flip = async (path: string, offset: number): Promise<void> => {
    await using file = await open(path, 'r+');
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, offset);
    await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, offset);
  };
  const damages: readonly (readonly [title: string, code: string, codec: string, damage: (directory: string) => Promise<void>])[] = [
    ['one bit of a zstd dump', 'DUMP_DAMAGED', 'zstd', (d) => flip(join(d, 'disk0.zst'), 3 * MIB)],
    ['one bit of a gzip dump', 'DUMP_DAMAGED', 'gzip', (d) => flip(join(d, 'disk0.gz'), 3 * MIB)],
    ['one bit of a plain dump', 'DUMP_DAMAGED', 'none', (d) => flip(join(d, 'disk0.img'), 3 * MIB)],
    ['a truncated dump', 'DUMP_DAMAGED', 'zstd', (d) => truncate(join(d, 'disk0.zst'), 2 * MIB)],
    ['extra bytes', 'DUMP_DAMAGED', 'zstd', (d) => appendFile(join(d, 'disk0.zst'), 'x')],
    ['a missing dump', 'DUMP_MISSING', 'zstd', (d) => rm(join(d, 'disk0.zst'))],
    ['a manifest that is not JSON', 'MANIFEST_DAMAGED', 'zstd', (d) => truncate(join(d, 'manifest.json'), 40)],
    [
      'a manifest of a later version',
      'MANIFEST_VERSION',
      'zstd',
      async (d) => {
        const text = await readFile(join(d, 'manifest.json'), 'utf8');
        await writeFile(join(d, 'manifest.json'), text.replace(/"version":\s*2/, '"version": 99'));
      },
    ],
    ...['../../etc/passwd', '/etc/passwd'].map(
      (name) =>
        [
          `a manifest that names ${name}`,
          'MANIFEST_DAMAGED',
          'zstd',
          async (d: string) => {
            const text = await readFile(join(d, 'manifest.json'), 'utf8');
            await writeFile(join(d, 'manifest.json'), text.replaceAll('disk0.zst', name));
          },
        ] as const,
    ),
    ...['../../etc/passwd', '/etc/passwd'].map(
      (name) =>
        [
          `a config.ini that names ${name}`,
          'CONFIG_DAMAGED',
          'zstd',
          async (d: string) => {
            const text = await readFile(join(d, 'config.ini'), 'utf8');
            await writeFile(join(d, 'config.ini'), text.replaceAll('disk0.zst', name));
            // As Ganeti leaves it.
            for (const own of ['manifest.json', 'SHA256SUMS']) await rm(join(d, own));
          },
        ] as const,
    ),
  ];
  test.each(oneIn(2, damages))('%s is %s: on import, before a script gets a byte of it, and on verify', async (_, code, codec, damage) => {
    await using bench = await benchWithDisk();
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    const reference = lastLine((await bench.gantry('export', source, bench.store, '--codec', codec)).stdout);
    await damage(exportDirectory(bench, reference));
    await makeSparseFile(bench.file('b.img'), 6 * MIB);
    const target = await bench.describeInstance('b.example.com', { disks: ['b.img'] });
    expectFailure(await bench.gantry('import', bench.store, reference, '--to', target), 7, code);
    const verified = await bench.gantry('verify', bench.store, reference);
    expectFailure(verified, 7, code);
    // What to do about it is the line after the error.
    expect(verified.stderr).toMatch(/\[\w+\]\n {2}\S/);
    const written = await readFile(bench.file('b.img'));
    const original = await readFile(bench.file('disk.img'));
    const firstDifference = written.findIndex((byte, at) => byte !== original[at]);
    // The disk holds complete frames only: 4 MiB of them or nothing.
    expect([0, 4 * MIB]).toContain(written.every((byte) => byte === 0) ? 0 : firstDifference);
    const list = await bench.gantry('list', bench.store);
    expect(list.exitCode).toBe(/ is damaged: /.test(list.stdout) ? 7 : 0);
  });

  test('is detected by --check-first before the first byte is written', async () => {
    await using bench = await benchWithDisk();
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    const reference = lastLine((await bench.gantry('export', source, bench.store)).stdout);
    await flip(join(exportDirectory(bench, reference), 'disk0.zst'), 5 * MIB);
    await makeRandomFile(bench.file('b.img'), 6 * MIB, 'before');
    const before = await sha256File(bench.file('b.img'));
    const target = await bench.describeInstance('b.example.com', { disks: ['b.img'] });
    expectFailure(await bench.gantry('import', bench.store, reference, '--to', target, '--check-first'), 7, /disk0\.zst: .*DUMP_DAMAGED/);
    expect(await sha256File(bench.file('b.img'))).toBe(before);
  });
});

describe('stores', () => {
  test('with a file in place of the store or of the directory of an instance: the file is named and not changed', async () => {
    await using bench = await benchWithDisk();
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    await writeFile(bench.file('file'), 'something else');
    expectFailure(await bench.gantry('export', instance, 'file', '-q'), 8, 'STORE_NOT_FOUND', 'is not a directory');
    await writeFile(join(bench.store, 'web1.example.com'), 'something else');
    expectFailure(await bench.gantry('export', instance, bench.store, '-q'), 8, /web1\.example\.com.*part of it is a file/);
    expect(await bench.stored()).toEqual(['web1.example.com']);
    expect(await bench.journal()).toEqual([]);
  });

  test('without space: the error says so, and nothing is left', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 40 * MIB, 'disk');
    await using small = await mountNewTmpfs(12 * MIB);
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    expectFailure(await bench.gantry('export', instance, small.path), 8, 'STORE_FULL');
    expect((await bench.gantry('list', small.path)).stdout).toMatch(/no exports/);
    await makeRandomFile(bench.file('small.img'), 2 * MIB, 'small');
    const fits = await bench.describeInstance('web1.example.com', { disks: ['small.img'] });
    expect(await bench.gantry('export', fits, small.path)).toMatchObject({ exitCode: 0 });
  });

  test('that cannot be written', async () => {
    await using bench = await benchWithDisk();
    await using readOnly = await mountReadOnly(bench.store);
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    expectFailure(await bench.gantry('export', instance, readOnly.path), 8, 'STORE_DENIED', readOnly.path);
    await expectNothingLeft(bench);
  });

  test('that do not exist, have an unknown scheme, or have a password in the address', async () => {
    await using bench = await benchWithDisk();
    expectFailure(await bench.gantry('list', bench.file('nowhere')), 8, 'STORE_NOT_FOUND', /nowhere/);
    expectFailure(await bench.gantry('list', 'gopher://host/x'), 8, 'STORE_ADDRESS', /gopher/);
    const outcome = await bench.gantry('list', 'ssh://user:hunter2@host/x');
    expectFailure(outcome, 8, 'STORE_ADDRESS', /password/);
    expect(outcome.stderr).not.toContain('hunter2');
  });

  test('without that export: similar names are suggested', async () => {
    await using bench = await benchWithDisk();
    await bench.gantry('export', await bench.describeInstance('web1.example.com', { disks: ['disk.img'] }), bench.store);
    expectFailure(await bench.gantry('show', bench.store, 'web2.example.com'), 9, 'EXPORT_NOT_FOUND', /web1\.example\.com/);
    expectFailure(await bench.gantry('show', bench.store, '../../etc@20260101T000000Z'), 2);
  });
});

describe('a dump imported through another OS definition', () => {
  test('is refused unless asked for', async () => {
    await using bench = await benchWithDisk();
    await bench.defineOs('copy', { export: 'cat "$EXPORT_DEVICE"', import: 'exec cat >"$IMPORT_DEVICE"' });
    const source = await bench.describeInstance('a.example.com', { os: 'copy', disks: ['disk.img'] });
    const reference = lastLine((await bench.gantry('export', source, bench.store)).stdout);
    await makeSparseFile(bench.file('b.img'), 6 * MIB);
    const target = await bench.describeInstance('b.example.com', { disks: ['b.img'] });
    expectFailure(await bench.gantry('import', bench.store, reference, '--to', target), 4, 'OS_MISMATCH', /copy.*raw/s);
    expect(await bench.gantry('import', bench.store, reference, '--to', target, '--allow-other-os')).toMatchObject({ exitCode: 0 });
    expect(await sha256File(bench.file('b.img'))).toBe(await sha256File(bench.file('disk.img')));
  });
});

describe('the command line', () => {
  test.each([
    [['move', 'web1.yaml', 'ssh://node2', '--json'], /--to/],
    [['export', 'web1.yaml', 'store', '--level', 'abc', '--json'], /whole number/],
    [['list', '--json'], /store/],
    [['nonsense', '--json'], /nonsense/],
    [['--json'], /./],
  ] as const)('%j: a usage error is the last line of --json too', async (args, says) => {
    await using bench = await makeWorkbench();
    const outcome = await bench.gantry(...args);
    expect(outcome.exitCode).toBe(2);
    expect(jsonLines(outcome.stdout).at(-1)).toMatchObject({
      type: 'error',
      code: 'USAGE',
      message: expect.stringMatching(says),
      exitCode: 2,
    });
  });

  test.each([
    ['zstd', '20', 'no level 20'],
    ['gzip', '10', 'no level 10'],
    ['none', '1', 'has no levels'],
  ])('a level that %s does not have (%s) is refused before anything is written', async (codec, level, says) => {
    await using bench = await benchWithDisk();
    const instance = await bench.describeInstance('web1.example.com', { disks: ['disk.img'] });
    const outcome = await bench.gantry('export', instance, 'new-store', '--codec', codec, '--level', level);
    expectFailure(outcome, 2, says);
    expect(outcome.stderr).not.toMatch(/exporting|snapshot/);
    expect(await readdir(bench.path)).not.toContain('new-store');
  });

  test('a result that cannot be written is a failure', async () => {
    await using bench = await benchWithDisk();
    const call = 'exec "$0" "$@" >/dev/full';
    const { exitCode, stderr } = await execa('/bin/sh', ['-c', call, process.execPath, MAIN, 'list', bench.store], { reject: false });
    expect(exitCode).toBe(11);
    expect(stderr).toMatch(/cannot write the result to standard output: ENOSPC.*\[PLATFORM\]/);
  });

  test.each(['18.20.4', '20.19.0', '22.17.1'])('Node %s is refused as too old', async (version) => {
    await using bench = await makeWorkbench();
    await writeFile(bench.file('older.cjs'), `Object.defineProperty(process, 'versions', { value: { node: '${version}' } });`);
    const { exitCode, stderr } = await execa(process.execPath, ['--require', bench.file('older.cjs'), BIN, 'list', bench.store], {
      reject: false,
    });
    expect(exitCode).toBe(11);
    expect(stderr).toMatch(/^gantry: cannot run on Node [\d.]+: Gantry needs 22\.18 or later \[PLATFORM\]\n.*$/);
  });

  test('a current directory that was removed is named as the cause', async () => {
    await using bench = await makeWorkbench();
    const call = 'mkdir gone && cd gone && rmdir ../gone && exec "$0" "$@"';
    const { exitCode, stderr } = await execa('/bin/sh', ['-c', call, process.execPath, MAIN, 'list', bench.store], {
      cwd: bench.path,
      reject: false,
    });
    expect(exitCode).toBe(11);
    expect(stderr).toMatch(/cannot find the current directory: it has been removed \[PLATFORM\]/);
  });

  test('a reader that closes the output early does not cause a failure', async () => {
    const call = '"$0" "$@" | true; exit "${PIPESTATUS[0]}"';
    const { exitCode, stderr } = await execa('/bin/bash', ['-c', call, process.execPath, MAIN, 'schema'], { reject: false });
    expect({ exitCode, stderr }).toEqual({ exitCode: 0, stderr: '' });
  });

  test('reports usage errors with exit code 2 and says where to find help', async () => {
    await using bench = await makeWorkbench();
    for (const args of [
      ['exprot'],
      ['export'],
      ['export', 'a', 'b', '--codec', 'lzma'],
      ['export', 'a', 'b', '--level', 'x'],
      ['list', 'a', '--bogus'],
    ]) {
      const outcome = await bench.gantry(...args);
      expect(outcome.exitCode, args.join(' ')).toBe(2);
      expect(outcome.stderr).toMatch(/\[USAGE\]\n {2}(gantry help|Did you mean gantry)/);
    }
  });

  test('has help with examples for every command', async () => {
    await using bench = await makeWorkbench();
    for (const args of ['export', 'import', 'list', 'show', 'verify', 'remove', 'clean', 'create', 'rename', 'schema']) {
      const outcome = await bench.gantry(args, '--help');
      expect(outcome).toMatchObject({ exitCode: 0 });
      expect(outcome.stdout).toMatch(/Examples:\n {2}\$ gantry/);
    }
  });

  test('follows a symbolic link to a disk, and names a dangling one', async () => {
    await using bench = await benchWithDisk();
    await symlink('disk.img', bench.file('link.img'));
    await symlink('gone.img', bench.file('dangling.img'));
    const good = await bench.describeInstance('a.example.com', { disks: ['link.img'] });
    expect(await bench.gantry('export', good, bench.store)).toMatchObject({ exitCode: 0 });
    const bad = await bench.describeInstance('b.example.com', { disks: ['dangling.img'] });
    expectFailure(await bench.gantry('export', bad, bench.store), 5, 'DISK_MISSING', 'dangling.img');
  });
});
