import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { GanetiCluster, GanetiNode } from '@gantry/testkit';
import { ALL_VARIANTS, makeSparseFile, sha256File } from '@gantry/testkit';
import { beforeAll, expect, test } from 'vitest';
import { lastLine, makeWorkbench } from '../workbench.ts';
import { CHECKOUT, gantryIn, runIn, succeeded } from './in-node.ts';

const MIB = 1024 * 1024;
/** Where Ganeti keeps its exports, and a store of Gantry below it. */
const EXPORTS = '/var/lib/ganeti/export';
const STORE = `${EXPORTS}/gantry`;
const SOURCE = '/srv/web/web1.yaml';
/** docs/reference/errors.md */
const EXIT_BUSY = 10;
const DISKS = ['/srv/web/disk0', '/srv/web/disk1'] as const;

/** What goes from Gantry to Ganeti with `gnt-backup import`, and back with `gnt-backup export`. */
export function backupSuite(cluster: () => GanetiCluster): void {
  let sums: readonly string[] = [];
  /** Where an export with the codec `none` is on the master. */
  let exported = '';

  beforeAll(async () => {
    const { master, other } = cluster();
    for (const node of [master, other]) await makeSource(node);
    sums = await sumsOf(master, DISKS);
    exported = await gantryExport(master, '--codec', 'none');
    // From here on: in the nodes, this definition hides the built-in one.
    for (const node of [master, other]) await node.run('cp', '-r', `${CHECKOUT}/apps/cli/os/raw`, '/srv/ganeti/os/');
  });

  test('Ganeti accepts the definition raw', async () => {
    const diagnosis = await cluster().master.run('gnt-os', 'diagnose');
    expect(diagnosis).toContain('OS: raw [global status: valid]');
    expect(diagnosis.match(/status: valid \(path: \/srv\/ganeti\/os\/raw\) \[API versions: 20\]/g)).toHaveLength(2);
  });

  test('an export of the built-in raw goes into Ganeti, and what Ganeti exports then goes into Gantry', async () => {
    const { master, other } = cluster();
    const imported = succeeded(await backupImport(master, exported, 'inst1.example.com'));
    for (const index of DISKS.keys()) expect(imported.stdout).toContain(`disk/${index} finished receiving data`);
    expect(await sumsOf(master, await disksOf(master, 'inst1.example.com'))).toEqual(sums);
    // A value with a percent sign arrives as it is, and a global parameter of the hypervisor does not stop the import.
    const parameters = await master.run('gnt-instance', 'list', '--no-headers', '-o', 'hv/kernel_args,be/maxmem', 'inst1.example.com');
    expect(parameters).toMatch(/^ro quiet=50%\s+96M?$/);

    // Ganeti 3.0 cannot export an instance with such a value itself.
    await master.run('gnt-instance', 'modify', '-H', 'kernel_args=ro', 'inst1.example.com');

    // An export of Gantry that Ganeti's next one removes, and one that stays.
    const endangered = succeeded(await gantryIn(other, 'export', '/srv/web/inst1.yaml', EXPORTS));
    expect(endangered.stderr).toMatch(/Ganeti/);
    expect(succeeded(await gantryIn(other, 'list', EXPORTS)).stdout).toContain('inst1.example.com');
    await master.run('gnt-backup', 'export', '-n', 'node1.example.com', 'inst1.example.com');
    expect(succeeded(await gantryIn(other, 'list', EXPORTS)).stdout).not.toContain('inst1.example.com');
    succeeded(await gantryIn(master, 'verify', STORE, 'web1.example.com'));

    await using bench = await makeWorkbench();
    const disks = [bench.file('disk0'), bench.file('disk1')];
    for (const disk of disks) await makeSparseFile(disk, 8 * MIB);
    const target = await bench.describeInstance('inst1.example.com', { disks });
    const back = succeeded(await bench.gantry('import', master.path(EXPORTS), 'inst1.example.com', '--to', target));
    expect(back.stderr).toMatch(/checksum/);
    expect(await sumsOf(undefined, disks)).toEqual(sums);
  });

  test('the disks of a running guest are not overwritten', async () => {
    const { master } = cluster();
    const disks = await disksOf(master, 'inst1.example.com');
    await master.run('gnt-instance', 'start', 'inst1.example.com');
    try {
      await describeInstance(master, 'inst1', disks);
      const refused = await gantryIn(master, 'import', STORE, 'web1.example.com', '--to', '/srv/web/inst1.yaml');
      expect(refused.stderr).toMatch(/is in use: process \d+ .* has it open for writing/);
      expect(refused.exitCode).toBe(EXIT_BUSY);
    } finally {
      await master.run('gnt-instance', 'shutdown', '--timeout=0', 'inst1.example.com');
    }
    expect(await sumsOf(master, disks)).toEqual(sums);
  });

  test.skipIf(!ALL_VARIANTS)('Ganeti refuses a compressed export, and creates nothing', async () => {
    const { master } = cluster();
    for (const codec of ['zstd', 'gzip']) {
      const refused = await backupImport(master, await gantryExport(master, '--codec', codec), 'inst2.example.com');
      expect(refused.exitCode).toBe(1);
      expect(refused.stderr).toContain('Wrong export version 1 (wanted 0)');
    }
    expect(await master.run('gnt-instance', 'list', '--no-headers', '-o', 'name')).not.toContain('inst2');
  });

  test.skipIf(!ALL_VARIANTS)(
    'Ganeti reads nothing through a link out of its directory of exports, and exits with 0 nevertheless',
    async () => {
      const { master } = cluster();
      await master.run('cp', '-r', STORE, '/srv/web/store');
      await master.run('ln', '-s', '/srv/web/store', `${EXPORTS}/link`);
      const imported = succeeded(await backupImport(master, `${EXPORTS}/link${exported.slice(STORE.length)}`, 'inst3.example.com'));
      expect(imported.stdout).toMatch(/disk0\.img' is not under exports directory/);
      expect(imported.stdout).toContain(
        'Some disks for instance inst3.example.com on node node1.example.com were not imported successfully',
      );
    },
  );
}

async function makeSource(node: GanetiNode): Promise<void> {
  await node.run('mkdir', '-p', '/srv/web', EXPORTS);
  await makeSparseFile(node.path(DISKS[0]), 8 * MIB, [{ offset: MIB, bytes: 3 * MIB + 5, seed: 'first' }]);
  await makeSparseFile(node.path(DISKS[1]), 8 * MIB, [{ offset: 7 * MIB, bytes: MIB, seed: 'second' }]);
  for (const name of ['web1', 'inst1']) await describeInstance(node, name, DISKS);
}

async function describeInstance(node: GanetiNode, name: string, disks: readonly string[]): Promise<void> {
  const instance = {
    name: `${name}.example.com`,
    os: 'raw',
    hypervisor: 'kvm',
    disk_template: 'file',
    disks: disks.map((path) => ({ path })),
    nics: [{ mac: 'aa:00:00:35:4c:01', mode: 'bridged', link: 'br0' }],
    beparams: { maxmem: '96', minmem: '96', vcpus: '1' },
    hvparams: { kernel_args: 'ro quiet=50%', migration_port: '8102' },
  };
  await writeFile(node.path(`/srv/web/${name}.yaml`), JSON.stringify(instance));
}

/** @returns the directory of the export */
async function gantryExport(node: GanetiNode, ...options: readonly string[]): Promise<string> {
  const outcome = succeeded(await gantryIn(node, 'export', ...options, SOURCE, STORE));
  return join(STORE, lastLine(outcome.stdout).replace('@', '/'));
}

function backupImport(master: GanetiNode, directory: string, name: string): ReturnType<typeof runIn> {
  const how = ['-t', 'file', '-n', 'node1.example.com', '--no-ip-check', '--no-name-check', '--net=0:mac=generate'];
  return runIn(master, 'gnt-backup', 'import', ...how, '--src-node=node1.example.com', `--src-dir=${directory}`, name);
}

/** The files of an instance's disks, in order. */
async function disksOf(master: GanetiNode, name: string): Promise<readonly string[]> {
  const found = await master.run('find', `/srv/ganeti/file-storage/${name}`, '-type', 'f');
  return found.split('\n').toSorted((a, b) => a.slice(-1).localeCompare(b.slice(-1)));
}

/** @param node whose files they are; undefined for those of the host */
async function sumsOf(node: GanetiNode | undefined, paths: readonly string[]): Promise<readonly string[]> {
  return Promise.all(paths.map((path) => sha256File(node?.path(path) ?? path)));
}
