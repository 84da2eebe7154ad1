import { mkdir, readdir, writeFile } from 'node:fs/promises';
import process from 'node:process';
import { makeRandomFile, makeSparseFile, mountNewTmpfs, mountReadOnly, startSshServer } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { jsonLines, lastLine, MAIN, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

let bench: Workbench;
let one: string;
let reference: string;

beforeAll(async () => {
  bench = await makeWorkbench({ GANTRY_CREATE_STORE: '' });
  await bench.gantry('store', 'init', bench.store);
  await makeRandomFile(bench.file('one.img'), 4 * MIB, 'plan');
  await makeSparseFile(bench.file('two.img'), 4 * MIB);
  one = await bench.describeInstance('one.example.com', { disks: ['one.img'] });
  await bench.describeInstance('two.example.com', { disks: ['two.img'] });
  const { stdout, stderr } = await bench.gantry('export', one, bench.store, '--incremental');
  reference = lastLine(stdout);
  expect(reference, stderr).toMatch(/^one\.example\.com@/);
});

afterAll(() => bench[Symbol.asyncDispose]());

const checksIn = (stdout: string): readonly (readonly [unknown, unknown])[] => {
  const { checks } = jsonLines(stdout).at(-1) ?? {};
  return Array.isArray(checks) ? checks.map(({ check, says }: { check: unknown; says: unknown }) => [check, says]) : [];
};

describe('a dry run of an export', () => {
  test('says what it would write and what it has checked, and changes nothing', async () => {
    const before = await bench.stored();
    const { exitCode, stdout, stderr } = await bench.gantry('export', one, bench.store, '--dry-run', '--level', '3');
    expect(exitCode, stderr).toBe(0);
    expect(stdout.split('\n')).toEqual([
      'checked instance: one.example.com, and 1 disk: no other run uses them',
      'checked definition: raw, built in',
      expect.stringMatching(/^checked snapshot of disk 0: (reflink|none): /),
      'checked codec: zstd, level 3',
      expect.stringMatching(/^checked store: .*, \d+ bytes free$/),
      `one.example.com would be exported to file://${bench.store}:`,
      '  disk 0 (4.00 MiB): disk0.zst',
      'dry run: nothing was written',
    ]);
    expect([await bench.stored(), await bench.journal()]).toEqual([before, []]);
    const json = jsonLines((await bench.gantry('export', one, bench.store, '--dry-run', '--json')).stdout).at(-1);
    expect(json).toMatchObject({
      operation: 'export',
      dryRun: true,
      plan: { into: `file://${bench.store}`, disks: [{ disk: 0, action: 'create' }] },
    });
  });

  test.each([
    ['a store that is not there', [], 8, 'STORE_NOT_FOUND', 'nowhere'],
    ['a wrong level', ['--level', '99'], 2, 'USAGE', 'exports'],
    ['a snapshot that is not possible', ['--snapshot', 'lvm'], 5, 'SNAPSHOT_UNSUPPORTED', 'exports'],
  ])('ends as the export would, for %s', async (_what, options, status, code, store) => {
    const [planned, real] = [
      await bench.gantry('export', one, bench.file(store), ...options, '--dry-run'),
      await bench.gantry('export', one, bench.file(store), ...options),
    ];
    const errorOf = (stderr: string): string | undefined => stderr.split('\n').find((line) => line.includes(`[${code}]`));
    expect([planned.exitCode, errorOf(planned.stderr)]).toEqual([status, expect.any(String)]);
    expect(errorOf(planned.stderr)).toBe(errorOf(real.stderr));
  });

  test('says that a store would be created, and creates none', async () => {
    await mkdir(bench.file('new'));
    const { stdout, exitCode } = await bench.gantry('export', one, bench.file('new'), '--create-store', '--dry-run');
    expect([exitCode, stdout]).toEqual([0, expect.stringMatching(/checked store: .*new will be created, \d+ bytes free/)]);
    expect(await readdir(bench.file('new'))).toEqual([]);
    const nowhere = await bench.gantry('export', one, bench.file('nowhere', 'new'), '--create-store', '--dry-run');
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([8, expect.stringMatching(/its parent directory .*nowhere does not exist/)]);
  });

  test('warns of too little space, and refuses a store that is read-only', async () => {
    await using small = await mountNewTmpfs(MIB);
    await bench.gantry('store', 'init', small.path);
    const full = await bench.gantry('export', one, small.path, '--dry-run');
    expect([full.exitCode, full.stderr]).toEqual([
      0,
      expect.stringMatching(/warning: .* has \d+ bytes free, and the export may need up to 4194304/),
    ]);
    await using fixed = await mountReadOnly(bench.store);
    const denied = await bench.gantry('export', one, fixed.path, '--dry-run');
    expect([denied.exitCode, denied.stderr]).toEqual([8, expect.stringMatching(/it is read-only for this user \[STORE_DENIED\]/)]);
  });

  test('asks a store over SSH for its space', async () => {
    await using server = await startSshServer();
    const { stdout, stderr } = await bench.gantry('export', one, server.address(bench.store), '--dry-run');
    expect(stdout, stderr).toMatch(/checked store: ssh:.*, \d+ bytes free/);
    const nowhere = await bench.gantry('export', one, server.address(bench.file('nowhere', 'new')), '--create-store', '--dry-run');
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([8, expect.stringMatching(/its parent directory .*nowhere does not exist/)]);
  });
});

test('a dry run of a removal says which dumps go and which stay, and removes nothing', async () => {
  expect(await bench.gantry('export', one, bench.store, '--incremental')).toMatchObject({ exitCode: 0 });
  const before = await bench.stored();
  const { stdout, exitCode } = await bench.gantry('remove', bench.store, reference, '--dry-run');
  expect(exitCode).toBe(0);
  expect(stdout).toMatch(/^checked references: 4\.\d+ MiB stay for other exports/);
  expect(stdout).toMatch(/^ {2}disk 0: disk0\.\S*zst \(4\.\d+ MiB\): kept, because other exports refer to it, or may$/m);
  expect(stdout).toMatch(/^ {2}disk 0: disk0\.map \(.*\): deleted$/m);
  expect(await bench.stored()).toEqual(before);
  const missing = await bench.gantry('remove', bench.store, 'one.example.com@20200101T000000Z', '--dry-run');
  expect(missing).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('[EXPORT_NOT_FOUND]') });
});

test('a dry run of an import says what it has checked', async () => {
  const to = bench.file('two.example.com.yaml');
  const { stdout } = await bench.gantry('import', bench.store, reference, '--to', to, '--dry-run', '--json');
  expect(checksIn(stdout)).toEqual([
    ['instance', 'two.example.com, and 1 disk: no other run uses them'],
    ['definition', 'raw, built in'],
    ['export', `${reference} is complete, and 1 dump is there with its size`],
    ['disk', `${bench.file('two.img')} is large enough, and not in use`],
  ]);
});

test('a dry run of a move has the peer check its part, and says its version; a parameter that is refused there ends it', async () => {
  await using server = await startSshServer();
  const environment = `GANTRY_STATE_DIR=${bench.file('state-there')} GANTRY_OS_PATH=${bench.file('os-there')}`;
  await writeFile(bench.file('peer'), `#!/bin/sh\n${environment} exec ${process.execPath} ${MAIN} "$@"\n`, { mode: 0o755 });
  const call = (source: string, to: string): readonly string[] => [
    'move',
    source,
    server.address(''),
    '--to',
    to,
    '--peer-program',
    bench.file('peer'),
    '--dry-run',
    '--json',
  ];
  const moved = await bench.gantry(...call(one, bench.file('two.example.com.yaml')));
  expect(checksIn(moved.stdout), moved.stderr).toContainEqual([
    'peer',
    expect.stringMatching(/^ssh:\S+ is \S+, with Gantry \d+\.\d+\.\d+\S*, and takes it as two\.example\.com$/),
  ]);
  await bench.defineOs('picky', { export: 'cat "$EXPORT_DEVICE"', import: 'cat >"$IMPORT_DEVICE"' });
  const theirs = { export: 'exit 1', import: 'cat >"$IMPORT_DEVICE"', verify: 'echo not here; exit 1' };
  await bench.defineOs('../os-there/picky', theirs);
  const source = await bench.describeInstance('three.example.com', { os: 'picky', disks: ['one.img'] });
  const target = await bench.describeInstance('four.example.com', { os: 'picky', disks: ['two.img'] });
  const refused = await bench.gantry(...call(source, target));
  expect(jsonLines(refused.stdout).at(-1)).toMatchObject({ type: 'error', code: 'OS_PARAMETER', exitCode: 4 });
});
