import { writeFile } from 'node:fs/promises';
import { makeRandomFile, makeTemporaryDirectory, sha256File } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';
import type { InstanceDescription, InstanceFields, RunState } from '@gantry/core/inventory';
import { writeShelf } from './shelf-inventory.ts';
import type { Workbench } from './workbench.ts';
import { jsonLines, lastLine, makeWorkbench } from './workbench.ts';

const BYTES = 1024 * 1024;

interface Shelf extends AsyncDisposable {
  readonly bench: Workbench;
  readonly disk: (name: string) => string;
}

/** A machine with a third-party inventory: web1 is stopped, web2 runs on another node, and two are called db1. */
async function makeShelf(): Promise<Shelf> {
  await using stack = new AsyncDisposableStack();
  const home = stack.use(await makeTemporaryDirectory());
  const describeOne = (name: string, run: RunState, fields: Partial<InstanceFields> = {}): InstanceDescription => ({
    instance: { name, os: 'raw', hypervisor: 'kvm', disks: [{ path: home.file(name) }], ...fields },
    run,
    guarded: [home.file(name)],
  });
  const env = await writeShelf(home.path, [
    describeOne('web1.example.com', { state: 'stopped' }, { tags: ['web'] }),
    describeOne('web2.example.com', { state: 'running', node: 'node2' }, { tags: ['web'] }),
    describeOne('db1.example.com', { state: 'unknown' }, { osparams_private: { password: 'correct-horse' } }),
    describeOne('db1.example.net', { state: 'unknown' }),
  ]);
  for (const name of ['web1.example.com', 'web2.example.com']) await makeRandomFile(home.file(name), BYTES, name);
  const bench = stack.use(await makeWorkbench(env));
  const all = stack.move();
  return { bench, disk: (name) => home.file(name), [Symbol.asyncDispose]: () => all.disposeAsync() };
}

describe('an inventory of others', () => {
  test('is listed, by pattern and tag', async () => {
    await using shelf = await makeShelf();
    const { exitCode, stdout } = await shelf.bench.gantry('instances', 'shelf:');
    expect({ exitCode, names: stdout.split('\n').map((line) => line.split(/ {2,}/).slice(0, 2).join(' ')) }).toEqual({
      exitCode: 0,
      names: [
        'NAME STATE',
        'db1.example.com unknown',
        'db1.example.net unknown',
        'web1.example.com stopped',
        'web2.example.com running on node2',
      ],
    });
    const filtered = await shelf.bench.gantry('instances', 'shelf:', '*.net', 'web*', '--tag', 'web', '--json');
    expect(jsonLines(filtered.stdout)).toMatchObject([
      { type: 'result', operation: 'instances', source: 'shelf:', instances: [{ name: 'web1.example.com' }, { name: 'web2.example.com' }] },
    ]);
    expect(await shelf.bench.gantry('instances', 'shelf:', 'x*')).toMatchObject({ exitCode: 0, stdout: 'no instances in shelf:' });
  });

  test('describes an instance as an instance file that gantry export takes', async () => {
    await using shelf = await makeShelf();
    const { bench } = shelf;
    const { exitCode, stdout } = await shelf.bench.gantry('describe', 'shelf:web2');
    expect({ exitCode, stdout }).toEqual({
      exitCode: 0,
      stdout: expect.stringContaining('# web2.example.com of shelf:: running on node2\n'),
    });
    await writeFile(bench.file('web2.yaml'), stdout);
    expect(await shelf.bench.gantry('export', 'web2.yaml', bench.store)).toMatchObject({ exitCode: 0 });
    const [left, shown] = [
      await shelf.bench.gantry('describe', 'shelf:db1.example.com'),
      await shelf.bench.gantry('describe', 'shelf:db1.example.com', '--with-private'),
    ];
    expect(left.stdout).toContain('# private OS parameters are left out: password (--with-private)');
    expect(left.stdout).not.toContain('correct-horse');
    expect(shown.stdout).toContain('password: correct-horse');
    const json = jsonLines((await shelf.bench.gantry('describe', 'shelf://host/db1.example.com', '--json')).stdout);
    expect(json).toMatchObject([
      {
        operation: 'describe',
        source: 'shelf://host',
        instance: { name: 'db1.example.com', osparams_private: {} },
        run: { state: 'unknown' },
        native: [{ name: 'shelf.json', bytes: 5, secret: false }],
      },
    ]);
  });

  test('is exported from and imported into, but not into what runs elsewhere', async () => {
    await using shelf = await makeShelf();
    const { bench, disk } = shelf;
    const digest = await sha256File(disk('web1.example.com'));
    const exported = await shelf.bench.gantry('export', 'shelf:web1', bench.store);
    expect(exported).toMatchObject({ exitCode: 0 });
    const reference = lastLine(exported.stdout);
    await writeFile(disk('web1.example.com'), Buffer.alloc(BYTES));
    expect(await shelf.bench.gantry('import', bench.store, reference, '--to', 'shelf:web1')).toMatchObject({ exitCode: 0 });
    expect(await sha256File(disk('web1.example.com'))).toBe(digest);
    expect(await shelf.bench.gantry('import', bench.store, reference, '--to', 'shelf:web2')).toMatchObject({
      exitCode: 10,
      stderr: expect.stringContaining('the instance runs on node2, says shelf:'),
    });
    expect(await sha256File(disk('web2.example.com'))).not.toBe(digest);
    expect(await shelf.bench.gantry('import', bench.store, reference, '--to', 'shelf:web2', '--force-in-use')).toMatchObject({
      exitCode: 0,
    });
  });

  test('says where the running guest is controlled: its disks are held still there', async () => {
    await using home = await makeTemporaryDirectory();
    const disk = home.file('disk');
    await makeRandomFile(disk, BYTES, 'seed');
    const env = await writeShelf(home.path, [
      {
        instance: { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', disks: [{ path: disk }] },
        run: { state: 'running', node: 'node1' },
        guarded: [disk],
        guest: { kind: 'qmp', socket: '/run/nobody/web1.qmp' },
      },
    ]);
    await using bench = await makeWorkbench(env);
    await writeFile(bench.file('snapshots.yaml'), 'qemu: { scratch: /var/tmp }\n');
    const options = ['--snapshot', 'qemu', '--snapshot-config', 'snapshots.yaml'];
    for (const call of [
      ['snapshots', 'check', 'shelf:web1'],
      ['export', 'shelf:web1', bench.store],
    ]) {
      const { stdout, stderr } = await bench.gantry(...call, ...options);
      expect(stdout + stderr, call[0]).toContain('cannot connect to QEMU at /run/nobody/web1.qmp');
    }
  });

  test('is described from anywhere, but used only on the host that has its disks', async () => {
    await using home = await makeTemporaryDirectory();
    const disk = home.file('disk');
    await makeRandomFile(disk, BYTES, 'seed');
    const env = await writeShelf(home.path, [
      {
        instance: { name: 'web1.example.com', os: 'raw', hypervisor: 'kvm', disks: [{ path: disk }] },
        run: { state: 'stopped' },
        guarded: [],
        disksOn: 'node7.example.com',
      },
    ]);
    await using bench = await makeWorkbench(env);
    const described = await bench.gantry('describe', 'shelf:web1', '--json');
    expect(jsonLines(described.stdout)).toMatchObject([{ type: 'result', disksOn: 'node7.example.com' }]);
    const before = await sha256File(disk);
    for (const call of [
      ['export', 'shelf:web1', bench.store],
      ['import', bench.store, 'web1.example.com', '--to', 'shelf:web1'],
      ['create', 'shelf:web1'],
      ['snapshots', 'check', 'shelf:web1'],
    ]) {
      const { exitCode, stderr } = await bench.gantry(...call);
      expect({ exitCode, stderr }, call[0]).toEqual({
        exitCode: 5,
        stderr: expect.stringMatching(
          /the disks of web1\.example\.com are on node7\.example\.com, .* \[INSTANCE_ELSEWHERE\]\n {2}Run Gantry on node7/,
        ),
      });
    }
    expect(await sha256File(disk)).toBe(before);
  });

  test.each([
    [['describe', 'shelf:web9'], 9, 'INSTANCE_NOT_FOUND'],
    [['export', 'shelf:db1', 'exports'], 9, 'INSTANCE_AMBIGUOUS'],
    [['create', 'shelf://down/web1'], 3, 'INVENTORY_UNAVAILABLE'],
    [['rename', 'shelf:', 'web3.example.com'], 3, 'INVENTORY_ADDRESS'],
    [['instances', 'elsewhere:'], 3, 'INVENTORY_NOT_INSTALLED'],
    [['instances', './missing'], 3, 'INVENTORY_NOT_FOUND'],
    [['export', 'web9.yaml', 'exports'], 3, 'INSTANCE_FILE_UNREADABLE'],
  ])('fails with %j in %i, %s', async (args, exitCode, code) => {
    await using shelf = await makeShelf();
    expect(await shelf.bench.gantry(...args)).toMatchObject({ exitCode, stderr: expect.stringContaining(`[${code}]`) });
  });
});

describe('a directory of instance files', () => {
  test('is listed, and its instances go by their names too', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk'), BYTES, 'seed');
    await bench.describeInstance('web1.example.com', { disks: ['disk'] });
    await writeFile(bench.file('broken.yaml'), 'name: [\n');
    const listed = await bench.gantry('instances', bench.path);
    expect(listed).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^web1\.example\.com +unknown +raw +kvm +1 +-$/m) });
    expect(listed.stderr).toContain('broken.yaml');
    expect(await bench.gantry('export', 'web1.example.com', bench.store)).toMatchObject({ exitCode: 0 });
    const described = await bench.gantry('describe', `file://${bench.path}/web1.example.com`);
    expect(described).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`path: ${bench.file('disk')}`) });
  });
});
