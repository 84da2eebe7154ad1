import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { makeRandomFile } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import type { Workbench } from './workbench.ts';
import { jsonLines, makeWorkbench, waitForFile } from './workbench.ts';

const MIB = 1024 * 1024;
const NICS = 'nics:\n  - mac: "aa:00:00:35:4c:01"';

/** An export of `one`, whose disk is in a directory of its own. @param importScript of its OS definition; `raw` if absent */
async function makeBench(importScript?: string): Promise<Workbench> {
  const bench = await makeWorkbench({ GANTRY_YES: '' });
  await mkdir(bench.file('disks'));
  await makeRandomFile(bench.file('disks', 'one.img'), MIB, 'create');
  if (importScript !== undefined) for (const name of ['mine', 'other']) await bench.defineOs(name, filesOf(importScript));
  const [os, parameters] = importScript === undefined ? ['raw', ''] : ['mine', '\nosparams:\n  dist: bookworm'];
  const sketch = { os, disks: [bench.file('disks', 'one.img')], more: `${NICS}${parameters}` };
  const exported = await bench.gantry('export', await bench.describeInstance('one.example.com', sketch), bench.store);
  expect(exported, exported.stderr).toMatchObject({ exitCode: 0 });
  return bench;
}

const filesOf = (importScript: string): Readonly<Record<string, string>> => ({
  export: 'cat "$EXPORT_DEVICE"',
  import: importScript,
  'parameters.list': 'out where\ndist which\n',
});

describe('an export alone is enough', () => {
  test('for the lost disks of an instance: they are created where the export says, with --yes', async () => {
    await using bench = await makeBench();
    await rename(bench.file('disks', 'one.img'), bench.file('lost.img'));
    const refused = await bench.gantry('import', bench.store, 'one.example.com');
    expect(refused).toMatchObject({ exitCode: 5, stderr: expect.stringContaining('Or import with --create-disks, which creates it.') });
    const unasked = await bench.gantry('import', bench.store, 'one.example.com', '--create-disks');
    expect(unasked).toMatchObject({
      exitCode: 14,
      stderr: expect.stringMatching(/1 disk of one\.example\.com would be created where only/),
    });
    const outcome = await bench.gantry('import', bench.store, 'one.example.com', '--create-disks', '--yes');
    expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0 });
    expect(outcome.stderr).toMatch(/disk 0: 1\.00 MiB onto .*one\.img \(1\.00 MiB, now: .* a new file where the export says\)/);
    expect(await readFile(bench.file('disks', 'one.img'))).toEqual(await readFile(bench.file('lost.img')));
    expect(await readdir(bench.file('disks'))).toEqual(['one.img']);
  });

  test('but not to overwrite a disk that only it names', async () => {
    await using bench = await makeBench();
    const refused = await bench.gantry('import', bench.store, 'one.example.com', '--yes', '--create-disks');
    expect(refused).toMatchObject({ exitCode: 14, stderr: expect.stringMatching(/only one\.example\.com@\S+ says .*\[CONFIRM_NEEDED\]/) });
    const path = bench.file('disks', 'one.img');
    expect(await bench.gantry('import', bench.store, 'one.example.com', '--disk', `0=${path}`)).toMatchObject({ exitCode: 0 });
  });

  test('for another instance, with its name, disk, MAC address, OS definition and OS parameters', async () => {
    await using bench = await makeBench('env >"$OSP_OUT"; exec cat >"$IMPORT_DEVICE"');
    const options = ['--name', 'two.example.com', '--disk', '0=disks/two.img', '--nic', '0:mac=generate', '--os', 'other'];
    const parameters = ['-O', 'dist=trixie', '-O', `out=${bench.file('environment')}`];
    const call = ['import', bench.store, 'one.example.com', ...options, ...parameters, '--create-disks', '--allow-other-os'];
    const outcome = await bench.gantry(...call, '--json');
    expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0 });
    expect(jsonLines(outcome.stdout).at(-1)).toMatchObject({
      instance: 'two.example.com',
      plan: { disks: [{ action: 'create', target: bench.file('disks', 'two.img') }] },
    });
    const environment = await readFile(bench.file('environment'), 'utf8');
    expect(environment).toMatch(/^INSTANCE_NAME=two\.example\.com$/m);
    expect(environment).toMatch(/^OSP_DIST=trixie$/m);
    expect(environment).toMatch(/^NIC_0_MAC=aa:00:00:(?!35:4c:01)/m);
    expect(await readFile(bench.file('disks', 'two.img'))).toEqual(await readFile(bench.file('disks', 'one.img')));
  });
});

test('with --to, --disk N=PATH gives a disk another path, and --disk N still chooses disks', async () => {
  await using bench = await makeBench();
  const file = bench.file('one.example.com.yaml');
  const outcome = await bench.gantry('import', bench.store, 'one.example.com', '--to', file, '--disk', '0=other.img', '--create-disks');
  expect(outcome, outcome.stderr).toMatchObject({ exitCode: 0 });
  expect(await readFile(bench.file('other.img'))).toEqual(await readFile(bench.file('disks', 'one.img')));
  expect(await bench.gantry('import', bench.store, 'one.example.com', '--to', file, '--disk', '1')).toMatchObject({
    exitCode: 5,
    stderr: expect.stringContaining('one.example.com has no disk 1: its disks are numbered from 0, and it has 1 [DISK_UNKNOWN]'),
  });
  const wider = await bench.describeInstance('wider.example.com', { disks: ['other.img', 'more.img'] });
  await writeFile(bench.file('more.img'), '');
  expect(await bench.gantry('import', bench.store, 'one.example.com', '--to', wider, '--disk', '1', '--yes')).toMatchObject({
    exitCode: 7,
    stderr: expect.stringContaining('has no dump of disk 1'),
  });
});

test('what gantry show --instance-file prints is an instance file to restore with', async () => {
  await using bench = await makeBench();
  const shown = await bench.gantry('show', bench.store, 'one.example.com', '--instance-file');
  expect(shown.stdout).toMatch(/^# one\.example\.com as one\.example\.com@\S+ has it; private OS parameters are left out\n/);
  await writeFile(bench.file('again.yaml'), shown.stdout);
  const described = await bench.gantry('describe', bench.file('again.yaml'), '--json');
  expect(jsonLines(described.stdout).at(-1)).toMatchObject({
    instance: { disks: [{ path: bench.file('disks', 'one.img') }], nics: [{ mac: 'aa:00:00:35:4c:01' }] },
  });
  expect(await bench.gantry('import', bench.store, 'one.example.com', '--to', bench.file('again.yaml'))).toMatchObject({ exitCode: 0 });
});

test('the new disk of a killed import is removed by the next run, and what lies beside it stays', async () => {
  await using bench = await makeBench('cat >"$IMPORT_DEVICE"; echo >"$OSP_OUT"; sleep 1000');
  const one = bench.file('one.example.com.yaml');
  const marker = bench.file('written');
  const call = [
    'import',
    bench.store,
    'one.example.com',
    '--to',
    one,
    '--disk',
    '0=disks/new.img',
    '--create-disks',
    '-O',
    `out=${marker}`,
  ];
  const importing = bench.start(...call);
  await waitForFile(marker);
  expect((await readdir(bench.file('disks'))).toSorted()).toEqual([expect.stringMatching(/^\.gantry-.*\.unfinished$/), 'one.img']);
  importing.kill('SIGKILL');
  await importing.outcome;
  await writeFile(bench.file('disks', 'new.img'), 'made by hand since');
  const cleaned = await bench.gantry('clean');
  expect(cleaned.stdout + cleaned.stderr).toMatch(/unfinished new disks \(.*new\.img\), which the interrupted import of instance one/);
  expect((await readdir(bench.file('disks'))).toSorted()).toEqual(['new.img', 'one.img']);
  expect(await readFile(bench.file('disks', 'new.img'), 'utf8')).toBe('made by hand since');
  expect(await bench.journal()).toEqual([]);
});

describe('wrong options are refused with status 2:', () => {
  test.each([
    [['--disk', 'x'], /It must be a whole number, 0 or more, or N=PATH/],
    [['--disk', '0='], /or N=PATH/],
    [['--nic', '0'], /It must be N:FIELD=VALUE/],
    [['--nic', '0:speed=1'], /Fields are mac, ip, mode, link, vlan/],
    [['-O', 'dist'], /It must be name=value/],
    [['--name', 'x', '--to', 'one.example.com.yaml'], /--name does not go with --to/],
    [['--nic', '0:mac=generate', '--define', 'libvirt:'], /--nic does not go with --define/],
  ])('%j', async (options, message) => {
    await using bench = await makeWorkbench();
    const outcome = await bench.gantry('import', bench.store, 'one.example.com', ...options);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.exitCode).toBe(2);
  });

  test('show with two forms at once', async () => {
    await using bench = await makeBench();
    const outcome = await bench.gantry('show', bench.store, 'one.example.com', '--instance-file', '--native', 'domain.xml');
    expect(outcome).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('--native does not go with --instance-file') });
  });

  test('a value that an instance cannot have, with its place', async () => {
    await using bench = await makeBench();
    await rm(bench.file('disks', 'one.img'));
    const outcome = await bench.gantry('import', bench.store, 'one.example.com', '--nic', '0:mode=fast', '--create-disks');
    expect(outcome).toMatchObject({ exitCode: 3, stderr: expect.stringMatching(/with these options: nics\[0\]\.mode must be bridged/) });
  });
});
