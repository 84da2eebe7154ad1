import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { CephServer, FreshRoot, TemporaryDirectory } from '@gantry/testkit';
import { ALL_VARIANTS, createBucket, makeTemporaryDirectory, startCeph, startFreshRoot, startSocketRelay } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { blockOf, shellBlocks } from './documented-blocks.ts';
import type { Packages } from './packages.ts';
import { buildPackages, documentedCommands, laterPackage } from './packages.ts';
import { lastLine } from './workbench.ts';

/*
 * What a new user does in the first week, with the package and the pages alone, on machines that have nothing else. Each command is run as
 * the pages have it; only names and addresses are those of the user.
 */

const NAMES = ['db1', 'db2', 'mail1', 'web1', 'web2'].map((name) => `${name}.example.com`);
/** Where the machines reach the service. */
const PORT = 7480;
const STORE = `s3://backups/exports?endpoint=http://127.0.0.1:${PORT}&profile=backups`;

interface World {
  readonly home: TemporaryDirectory;
  readonly packages: Packages;
  readonly ceph: CephServer;
}

/** A machine with systemd, in a network of its own that has just the service, and with the packages in root's home directory. */
async function startNode({ home, packages, ceph }: World): Promise<FreshRoot> {
  const root = await startFreshRoot({ boot: true, shares: [home.path] });
  const listen = ['--unit=service-elsewhere', `--socket-property=ListenStream=127.0.0.1:${PORT}`];
  await root.run('systemd-run', '--quiet', ...listen, '/lib/systemd/systemd-socket-proxyd', home.file('s3'));
  await root.run('sh', '-ec', `ln -s ${packages.directory}/* /root/`);
  await root.run('mkdir', '-m', '700', '/root/.aws');
  const keys = [ceph.accessKeyId, ceph.secretAccessKey];
  const profile = (await blockOf('export-into-a-bucket', 'ini')).replaceAll('…', () => keys.shift() ?? '');
  await writeFile(root.path('/root/.aws/credentials'), profile, { mode: 0o600 });
  return root;
}

/** Five instances with a disk each, as they were before there was Gantry. */
async function makeInstances(root: FreshRoot): Promise<void> {
  await root.run('mkdir', '-p', '/srv/disks', '/etc/gantry/instances');
  for (const name of NAMES) {
    const disk = `/srv/disks/${name}.img`;
    await root.run('truncate', '-s', '8M', disk);
    await changeDisk(root, name);
    const text = `name: ${name}\nos: raw\nhypervisor: kvm\ndisks:\n  - path: ${disk}\n`;
    await writeFile(root.path(`/etc/gantry/instances/${name}.yaml`), text);
  }
}

async function changeDisk(root: FreshRoot, name: string): Promise<void> {
  await root.run('dd', 'if=/dev/urandom', `of=/srv/disks/${name}.img`, 'bs=1M', 'count=3', 'seek=2', 'conv=notrunc', 'status=none');
}

async function digests(root: FreshRoot): Promise<string> {
  return await root.run('sh', '-ec', 'sha256sum /srv/disks/*.img');
}

async function bash(root: FreshRoot, script: string): Promise<string> {
  return await root.run('bash', '-euc', `cd /root; ${script}`);
}

/** The configuration of the page, with the bucket in the place of its directory. */
async function configure(root: FreshRoot, more = ''): Promise<void> {
  const yaml = (await blockOf('nightly-exports-of-a-node', 'yaml file=gantry.yaml')).replace('/srv/exports', `'${STORE}'`);
  await writeFile(root.path('/etc/gantry/gantry.yaml'), `${yaml}${more}`);
}

/** What the page on monitoring has, but for the command, which is a program of one's own. */
async function monitoring(root: FreshRoot): Promise<string> {
  const page = await readFile(new URL('../../../docs/how-to/monitoring.md', import.meta.url), 'utf8');
  const [, notify = ''] = /^(notify:\n {2}on: failure.*\n {2}mail: .*\n)/m.exec(page) ?? [];
  const [, metrics = '', textfile = ''] = /^(metrics: \{ textfile: (\S+) \}\n)/m.exec(page) ?? [];
  await root.run('mkdir', '-p', join(textfile, '..'));
  await writeFile(root.path('/usr/sbin/sendmail'), '#!/bin/sh\nexec cat >>/srv/mail\n', { mode: 0o755 });
  return `${notify}${metrics}`;
}

interface ListedExport {
  readonly instance: string;
  readonly exportId: string;
  readonly state: string;
}

async function exportsIn(root: FreshRoot, store: string): Promise<readonly ListedExport[]> {
  const listed: { readonly exports: readonly ListedExport[] } = JSON.parse(await root.run('gantry', 'list', store, '--json'));
  return listed.exports;
}

interface RunResult {
  readonly policies: readonly { readonly instances: readonly { readonly name: string; readonly storedBytes: number }[] }[];
}

/** How long each step of the user took, in seconds of waiting for commands. */
class Stopwatch {
  readonly steps: string[] = [];
  #since = performance.now();

  lap(step: string): void {
    const now = performance.now();
    this.steps.push(`${step} ${((now - this.#since) / 1000).toFixed(1)} s`);
    this.#since = now;
  }
}

test.skipIf(!ALL_VARIANTS)(
  'five instances are exported every night into a bucket and watched, restored when their node is lost, and exported on after an upgrade',
  { timeout: 1_200_000 },
  async () => {
    await using scope = new AsyncDisposableStack();
    const home = scope.use(await makeTemporaryDirectory());
    await chmod(home.path, 0o755);
    await mkdir(home.file('packages'));
    const packages = await buildPackages(home.file('packages'));
    const ceph = scope.use(await startCeph());
    scope.use(await startSocketRelay(home.file('s3'), Number(new URL(ceph.endpoint).port)));
    await createBucket(ceph, 'backups');
    const world = { home, packages, ceph };
    const watch = new Stopwatch();

    let lost: string;
    {
      await using node = await startNode(world);
      await makeInstances(node);
      watch.lap('(making the machine)');
      await bash(node, await documentedCommands('install.md', 'On Debian or Ubuntu'));
      watch.lap('install');
      await configure(node);
      const first = await bash(node, await documentedCommands('nightly-exports-of-a-node.md', '2. Make the store, and try'));
      expect(first).toMatch(/^nightly: done in .*: 5 exported of 5 instances$/m);
      expect(first).toContain('5 exports of 5 instances');
      watch.lap('set up and the first run');

      await configure(node, await monitoring(node));
      await node.run('gantry', 'config', 'check');
      const timers = await bash(node, await documentedCommands('nightly-exports-of-a-node.md', '3. Each night'));
      expect(timers).toMatch(/gantry-run@nightly\.timer +gantry-run@nightly\.service/);
      await changeDisk(node, 'db1.example.com');
      await node.run('systemctl', 'start', 'gantry-run@nightly.service');
      expect(await node.run('journalctl', '-u', 'gantry-run@nightly.service')).toMatch(/nightly: done in .*: 5 exported of 5 instances/);
      expect(await node.attempt('gantry', 'status', '--check')).toMatchObject({ exitCode: 0, stdout: expect.stringMatching(/^GANTRY OK/) });
      expect(await node.attempt('test', '-e', '/srv/mail')).toMatchObject({ exitCode: 1 });
      watch.lap('a night');

      await node.run('mv', '/srv/disks/web2.example.com.img', '/srv/gone');
      expect(await node.attempt('systemctl', 'start', 'gantry-run@nightly.service')).toMatchObject({ exitCode: 1 });
      const mail = await node.run('cat', '/srv/mail');
      expect(mail).toMatch(/^Subject: .*nightly/m);
      expect(mail).toMatch(/web2\.example\.com.*\[DISK_MISSING\]\n {2}Correct its path/);
      await node.run('mv', '/srv/gone', '/srv/disks/web2.example.com.img');
      const mended = await bash(node, `gantry run nightly --skip-newer 12h; cat /var/lib/prometheus/node-exporter/gantry.prom`);
      expect(mended).toContain('gantry_run_success{policy="nightly"} 1');
      watch.lap('a night with a failure');
      // Four runs. Of each instance the oldest export stays, since there are not 14 days yet, and the newest of each day.
      const all = await exportsIn(node, 'local');
      expect(all.filter(({ state }) => state !== 'complete')).toEqual([]);
      expect(new Set(all.map(({ instance }) => instance))).toEqual(new Set(NAMES));
      for (const name of NAMES) {
        const [, ...later] = all.filter(({ instance }) => instance === name);
        const days = later.map(({ exportId }) => exportId.slice(0, '20261127'.length));
        expect(days.length).toBeGreaterThan(0);
        expect(days).toHaveLength(new Set(days).size);
      }
      lost = await digests(node);
    }

    await using other = await startNode(world);
    watch.lap('(losing the machine, making another one)');
    await bash(other, await documentedCommands('install.md', 'On Debian or Ubuntu'));
    const yaml = await blockOf('after-a-lost-machine', 'yaml file=gantry.yaml');
    await writeFile(other.path('/etc/gantry/gantry.yaml'), yaml.replace('ssh://backup.example.com/srv/exports', STORE));
    const named = (block: string): string =>
      block.replace('for name in web1.example.com db1.example.com', `for name in ${NAMES.join(' ')}`);
    for (const block of await shellBlocks('after-a-lost-machine', 4)) await bash(other, named(block));
    expect(await digests(other)).toBe(lost);
    watch.lap('install and restore');

    await configure(other);
    await changeDisk(other, 'web1.example.com');
    const run: RunResult = JSON.parse(lastLine(await other.run('gantry', 'run', 'nightly', '--json')));
    const isStored = run.policies.flatMap(({ instances }) => instances.map(({ name, storedBytes }) => [name, storedBytes > 100_000]));
    // What changed since the lost machine's last night.
    expect(Object.fromEntries(isStored)).toEqual(Object.fromEntries(NAMES.map((name) => [name, name === 'web1.example.com'])));
    watch.lap('the next night');

    const later = await laterPackage(join(packages.directory, packages.deb), home.path);
    // Without a terminal, and without the option for that: the page says how to go on.
    expect(await other.attempt('apt-get', 'install', '-y', later)).toMatchObject({ exitCode: 100 });
    await other.run('dpkg', '--force-confold', '--configure', '-a');
    expect(await other.run('gantry', 'run', 'nightly')).toMatch(/^nightly: done in .*: 5 exported of 5 instances$/m);
    expect(await other.attempt('gantry', 'status', '--check')).toMatchObject({ exitCode: 0 });
    watch.lap('upgrade and a run');
    console.log(`the first week: ${watch.steps.join(', ')}`);
  },
);
