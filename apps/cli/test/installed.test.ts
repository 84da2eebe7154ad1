import { appendFile, chmod, mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FreshRoot, FreshRootOptions, TemporaryDirectory } from '@gantry/testkit';
import { findFreePorts, makeTemporaryDirectory, startFreshRoot } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { blockOf, blocksOf, shellBlocks } from './documented-blocks.ts';
import type { Packages } from './packages.ts';
import { buildPackages, documentedCommands, exportAndImport, findNodeAndNpm, furnish, laterPackage, MAINTAINER } from './packages.ts';

/*
 * What users install, installed as the documentation says into systems that have nothing, and used there.
 */

let home: TemporaryDirectory;
let packages: Packages;

beforeAll(async () => {
  home = await makeTemporaryDirectory();
  await chmod(home.path, 0o755);
  await mkdir(home.file('packages'));
  packages = await buildPackages(home.file('packages'));
});

afterAll(() => home[Symbol.asyncDispose]());

/** A system with nothing but the packages, as files in root's home directory. */
async function startRoot({ boot, shares = [] }: FreshRootOptions = {}): Promise<FreshRoot> {
  const root = await startFreshRoot({ boot, shares: [home.path, ...shares] });
  await root.run('sh', '-ec', `ln -s ${packages.directory}/* /root/`);
  return root;
}

async function follow(root: FreshRoot, page: string, heading: string): Promise<string> {
  return root.run('sh', '-ec', `cd /root; ${await documentedCommands(page, heading)}`);
}

test('the Debian package names the maintainer that is asked for', async () => {
  const field = async (...args: readonly string[]): Promise<string> => (await execa('dpkg-deb', args)).stdout;
  expect(await field('--field', join(packages.directory, packages.deb), 'Maintainer')).toBe(MAINTAINER);
  expect(packages.log).not.toContain('placeholder');
});

test.each([
  'nobody',
  '<jane@example.com>',
  'Jane <jane>',
  'Jane <jane@example.com>\nSection: x',
  'J <j@example.com> and K <k@example.com>',
])('packages are not built with a maintainer such as %j', async (maintainer) => {
  const refused = expect.stringMatching(/^gantry: cannot build packages: GANTRY_MAINTAINER must be one line such as .*$/);
  await expect(buildPackages(home.file('never'), { maintainer })).rejects.toMatchObject({ exitCode: 1, all: refused });
  expect(await readdir(home.path)).not.toContain('never');
});

test('lintian has nothing to say about the Debian package', () => {
  expect(packages.log).not.toMatch(/^[EW]: /m);
});

describe('the Debian package', () => {
  let root: FreshRoot;

  beforeAll(async () => {
    root = await startRoot();
  });

  afterAll(() => root[Symbol.asyncDispose]());

  test('installs the command with its own Node, and exports and imports', async () => {
    expect(await follow(root, 'install.md', 'On Debian or Ubuntu')).toMatch(/gantry \d[^]*node 24\.\d+\.\d+ \(\/usr\/lib\/gantry\/node\)/);
    await furnish(root);
    await exportAndImport(root);
    expect(await root.run('gantry', 'os', 'show', 'raw', '--os-path', '/usr/lib/gantry/os')).toContain('create, export, import, rename');
    expect(await root.run('stat', '-c', '%a %U', '/var/lib/gantry')).toBe('700 root');
    const files = (await root.run('dpkg', '-L', 'gantry')).split('\n');
    const share = (name: string): string => `/usr/share/${name}`;
    const shown = [
      'man/man1/gantry-export.1.gz',
      'man/man1/gantry-fleet.1.gz',
      'man/man5/gantry.yaml.5.gz',
      'bash-completion/completions/gantry',
    ].map(share);
    expect(files).toEqual(expect.arrayContaining([...shown, '/etc/gantry/gantry.yaml']));
    expect(await root.run('gantry-fleet', '--version')).toBe(await root.run('dpkg-query', '-W', '-f', '${Version}', 'gantry'));
  });

  test('an upgrade keeps the configuration, and the journal of a run that was killed', async () => {
    await writeFile(root.path('/etc/gantry/gantry.yaml'), '# Mine.\n');
    await killAnExport(root);
    const later = await laterPackage(join(packages.directory, packages.deb), home.path);
    await root.run('env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', '-y', '-o', 'Dpkg::Options::=--force-confold', later);
    expect(await root.run('dpkg-query', '-W', '-f', '${Version}', 'gantry')).toBe('99.0.0');
    expect(await readFile(root.path('/etc/gantry/gantry.yaml'), 'utf8')).toBe('# Mine.\n');
    expect(await root.run('gantry', 'clean', '/srv/exports')).toMatch(/slow/);
    await exportAndImport(root);
  });

  test('removal keeps the configuration and the journal, and purging removes them', async () => {
    await killAnExport(root);
    await root.run('apt-get', 'remove', '-y', 'gantry');
    expect(await root.attempt('which', 'gantry')).toMatchObject({ exitCode: 1 });
    expect(await root.attempt('test', '-e', '/usr/lib/gantry')).toMatchObject({ exitCode: 1 });
    expect(await readFile(root.path('/etc/gantry/gantry.yaml'), 'utf8')).toBe('# Mine.\n');
    expect(await readdir(root.path('/var/lib/gantry'))).not.toEqual([]);
    await root.run('apt-get', 'purge', '-y', 'gantry');
    for (const path of ['/etc/gantry', '/var/lib/gantry']) {
      expect(await root.attempt('test', '-e', path), path).toMatchObject({ exitCode: 1 });
    }
    expect(await readdir(root.path('/srv/exports'))).toContain('web1.example.com');
  });
});

/** Makes the example in the installed `gantry.yaml` apply. */
async function useExample(root: FreshRoot): Promise<void> {
  const file = root.path('/etc/gantry/gantry.yaml');
  const [, example = ''] = (await readFile(file, 'utf8')).split(/\n\n([^]*)/);
  await writeFile(file, example.replaceAll(/^# ?/gm, ''));
}

/** An OS definition whose `export` script is the body of a shell script, and whose other scripts do nothing. */
async function defineOs(root: FreshRoot, name: string, script: string): Promise<void> {
  const directory = `/srv/ganeti/os/${name}`;
  await root.run('mkdir', '-p', directory);
  for (const each of ['create', 'import', 'rename', 'verify'])
    await writeFile(root.path(`${directory}/${each}`), '#!/bin/sh\n', { mode: 0o755 });
  await writeFile(root.path(`${directory}/export`), `#!/bin/sh\n${script}`, { mode: 0o755 });
  await writeFile(root.path(`${directory}/ganeti_api_version`), '20\n');
  await writeFile(root.path(`${directory}/parameters.list`), '');
}

/** An instance with the OS definition of that name, on the disk of web1, in a directory, by default the example's. @returns its file */
async function addInstance(root: FreshRoot, os: string, directory = '/etc/gantry/instances'): Promise<string> {
  const web1 = await readFile(root.path('/root/web1.yaml'), 'utf8');
  const file = `${directory}/${os}.yaml`;
  await writeFile(root.path(file), web1.replace('web1', os).replace('os: raw', `os: ${os}`));
  return file;
}

/** Leaves a run in the journal: its script waits, and it is killed. */
async function killAnExport(root: FreshRoot): Promise<void> {
  await defineOs(root, 'slow', 'kill -KILL "$PPID"\nexec sleep 1000\n');
  const outcome = await root.attempt('gantry', 'export', await addInstance(root, 'slow', '/root'), '/srv/exports');
  expect(outcome.exitCode, outcome.stderr).not.toBe(0);
}

describe('the archive', () => {
  test('is unpacked anywhere, works through a link, and wherever it is moved to', async () => {
    await using root = await startRoot();
    expect(await follow(root, 'install.md', 'On any Linux')).toMatch(/node 24\.\S+ \(\/opt\/gantry-[\d.]+-linux-x64\/lib\/gantry\/node\)/);
    await furnish(root);
    await exportAndImport(root);
    await root.run('sh', '-ec', 'mv /opt/gantry-* "/srv/another place" && ln -sf "/srv/another place/bin"/gantry* /usr/local/bin/');
    expect(await root.run('gantry', 'list', '/srv/exports')).toContain('web1.example.com');
    // Nobody in particular can use it too.
    const asNobody = ['setpriv', '--reuid=65534', '--clear-groups'] as const;
    expect(await root.run(...asNobody, 'gantry', 'version')).toContain('protocol of moves');
    // It has what asks a PostgreSQL, and there is none.
    const asked = await root.attempt(...asNobody, 'gantry-fleet', 'status', '--database', 'postgres://fleet@127.0.0.1:9/fleet');
    expect(asked.stderr).toMatch(/ECONNREFUSED.*\[QUEUE_UNAVAILABLE\]/);
  });
});

test('the package for npm is installed on the oldest Node that Gantry supports', { timeout: 900_000 }, async () => {
  const { node, npm } = await findNodeAndNpm('22.18.0');
  await using root = await startRoot({ shares: [node, npm, '/etc/ssl/certs'] });
  await root.run('cp', `${node}/bin/node`, '/usr/local/bin/');
  await root.run('ln', '-s', `${npm}/bin/npm-cli.js`, '/usr/local/bin/npm');
  expect(await root.attempt('gantry')).toMatchObject({ exitCode: 127 });
  const { stdout: registry } = await execa('npm', ['config', 'get', 'registry']);
  // The registry may not answer for a while, and have a certificate that only this machine trusts.
  const settings = [`npm_config_registry=${registry}`, 'npm_config_fetch_timeout=30000', 'npm_config_fetch_retries=5'];
  const certificates = 'NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt';
  const commands = await documentedCommands('install.md', 'With npm');
  expect(await root.run('env', certificates, ...settings, 'sh', '-ec', `cd /root; ${commands}`)).toContain(
    'node 22.18.0 (/usr/local/bin/node)',
  );
  await furnish(root);
  await exportAndImport(root);
  // What docs/how-to/ganeti-exports.md copies into Ganeti, still executable.
  const shipped = await root.run('gantry', 'os', 'show', 'raw', '--os-path', '/usr/local/lib/node_modules/@gantry/cli/os');
  expect(shipped).toMatch(/directory +\S+\/@gantry\/cli\/os\/raw\n[^]*operations +create, export, import, rename/);
});

test('the core as a library works on the oldest Node that Gantry supports', async () => {
  const { node } = await findNodeAndNpm('22.18.0');
  // Built with the packages; as programs import it that are not of this repository.
  const program = `
    import { exportInstance, initializeStore, loadInstanceFile, verifyExport } from '@gantry/core';
    import { openFileStore } from '@gantry/transport-file';
    const [, file, directory] = process.argv;
    const store = openFileStore(directory);
    await initializeStore(store);
    const { reference } = await exportInstance({ instance: await loadInstanceFile(file), store });
    await verifyExport({ store, export: reference });
    await store[Symbol.asyncDispose]();
    console.log(process.version, reference);`;
  await writeFile(home.file('disk.img'), 'content of a disk\n');
  await writeFile(home.file('web1.yaml'), 'name: web1.example.com\nos: raw\nhypervisor: kvm\ndisks: [{ path: disk.img }]\n');
  const args = ['--input-type=module', '--eval', program, home.file('web1.yaml'), home.file('exports')];
  const options = { cwd: fileURLToPath(new URL('../../../examples', import.meta.url)), env: { GANTRY_STATE_DIR: home.file('state') } };
  const { stdout } = await execa(join(node, 'bin/node'), args, options);
  expect(stdout).toMatch(/^v22\.18\.0 web1\.example\.com@/);
});

test('each library brings what the language lacks on that Node', async () => {
  const { node } = await findNodeAndNpm('22.18.0');
  const packages = fileURLToPath(new URL('../../../packages', import.meta.url));
  const { stdout } = await execa('grep', [
    '-rlE',
    '--include=*.js',
    String.raw`new (Async)?DisposableStack\(`,
    packages,
    '--exclude-dir=node_modules',
  ]);
  const names = new Set(stdout.split('\n').map((path) => relative(packages, path).split('/')[0] ?? ''));
  names.delete('testkit');
  expect([...names].toSorted()).toEqual(
    expect.arrayContaining(['core', 'directory-store', 'inventory-ganeti', 'transport-file', 'transport-ssh']),
  );
  for (const name of names) {
    const program = `await import('@gantry/${name}'); console.log(typeof DisposableStack, typeof AsyncDisposableStack);`;
    const { stdout: kinds } = await execa(join(node, 'bin/node'), ['--input-type=module', '--eval', program], {
      cwd: join(packages, name),
    });
    expect(`${name}: ${kinds}`).toBe(`${name}: function function`);
  }
});

describe('on a peer that lacks Gantry', () => {
  test('a move says how to copy it there, and then moves; or the package is installed there', async () => {
    await using here = await startRoot();
    // Without the packages: scp would write through the links.
    await using there = await startFreshRoot();
    await connect(here, there);
    await follow(here, 'install.md', 'On Debian or Ubuntu');
    await furnish(here);
    await there.run('sh', '-ec', 'mkdir /srv/disks && truncate -s 8M /srv/disks/web1.img');
    await writeFile(there.path('/root/web1.yaml'), await readFile(here.path('/root/web1.yaml')));
    const move = ['gantry', 'move', '/root/web1.yaml', 'ssh://root@node2.example.com', '--to', '/root/web1.yaml'] as const;

    const { exitCode, stderr } = await here.attempt(...move);
    expect(exitCode).toBe(12);
    const [, hint = ''] = /\[PEER_NO_GANTRY\][^]* copy this one: (tar .* -x)$/m.exec(stderr) ?? [];
    expect(hint, stderr).not.toBe('');
    // As the page has it.
    expect((await documentedCommands('install-on-a-peer.md', 'A copy of the one that is here')).trim()).toBe(
      hint.replace(/'ssh:\/\/(.*)'/, '$1'),
    );
    await here.run('sh', '-ec', hint);
    await here.run(...move);
    expect(await there.run('sha256sum', '/srv/disks/web1.img')).toBe(await here.run('sha256sum', '/srv/disks/web1.img'));

    await there.run('rm', '-r', '/usr/local/bin/gantry', '/usr/local/lib/gantry');
    await follow(here, 'install-on-a-peer.md', 'The package');
    expect(await follow(here, 'install-on-a-peer.md', 'Check it')).toContain('/usr/lib/gantry/node');
    await here.run(...move);
  });
});

/** Lets root log in from one to the other, which is called node2.example.com. */
async function connect(here: FreshRoot, there: FreshRoot): Promise<void> {
  const port = await findFreePorts(1);
  await here.run('ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/.ssh/id_ed25519');
  await mkdir(there.path('/root/.ssh'), { mode: 0o700, recursive: true });
  await writeFile(there.path('/root/.ssh/authorized_keys'), await readFile(here.path('/root/.ssh/id_ed25519.pub')));
  const hostKey = await readFile(there.path('/etc/ssh/ssh_host_ed25519_key.pub'), 'utf8');
  await writeFile(here.path('/root/.ssh/known_hosts'), `node2.example.com ${hostKey}`);
  const config = ['Host node2.example.com', 'HostName 127.0.0.1', `Port ${port}`, 'HostKeyAlias node2.example.com', ''];
  await writeFile(here.path('/root/.ssh/config'), config.join('\n'), { mode: 0o600 });
  await there.run('/usr/sbin/sshd', '-p', String(port), '-o', 'ListenAddress=127.0.0.1');
}

async function addUnit(root: FreshRoot, name: string, text = ''): Promise<void> {
  await writeFile(root.path(`/etc/systemd/system/${name}`), text);
  await root.run('systemctl', 'daemon-reload');
}

/** Has cron run what these lines for `/etc/cron.d` say, but now. @returns the mails with what each of them printed */
async function runByCron(root: FreshRoot, tables: readonly string[]): Promise<string> {
  const mailer = '#!/bin/sh\ncat >/srv/mails/$$.part && mv /srv/mails/$$.part /srv/mails/$$.mail\n';
  await root.run('mkdir', '/srv/mails');
  await writeFile(root.path('/usr/sbin/sendmail'), mailer, { mode: 0o755 });
  for (const [index, table] of tables.entries())
    await writeFile(root.path(`/etc/cron.d/gantry${index}`), table.replace(/^\d+ \d+ \* \* \*/m, '@reboot'), { mode: 0o644 });
  const areThere = `[ "$(ls /srv/mails | grep -c mail)" = ${tables.length} ]`;
  await root.run(
    'sh',
    '-ec',
    `rm -f /run/crond.reboot; systemctl restart cron; until ${areThere}; do sleep 0.1; done; rm /etc/cron.d/gantry*`,
  );
  return await root.run('sh', '-ec', 'cat /srv/mails/*; rm -r /srv/mails /usr/sbin/sendmail');
}

const FLEET_UNITS = ['gantry-fleet-agent.service', 'gantry-fleet-planner.service', 'gantry-fleet-web.service'];

describe('the units of systemd', () => {
  let root: FreshRoot;

  beforeAll(async () => {
    root = await startRoot({ boot: true });
    await follow(root, 'install.md', 'On Debian or Ubuntu');
    await furnish(root);
  });

  afterAll(() => root[Symbol.asyncDispose]());

  /** Starts a run that waits in the script of `slow`. */
  async function startSlowRun(): Promise<void> {
    await root.run('rm', '-f', '/srv/started');
    await root.run('systemctl', 'start', '--no-block', 'gantry-run@web.service');
    await root.run('sh', '-ec', 'until [ -e /srv/started ]; do sleep 0.1; done');
  }

  test('are valid', async () => {
    const ofRuns = ['gantry-run@.service', 'gantry-run@.timer', 'gantry-inhibit@.service', 'gantry-notify@.service'];
    const names = [...ofRuns, ...FLEET_UNITS].map((name) => `/lib/systemd/system/${name}`);
    expect(await root.attempt('systemd-analyze', 'verify', '--man=no', ...names)).toEqual({ exitCode: 0, stdout: '', stderr: '' });
  });

  test('the timer waits for the night, with a random delay, and catches up', async () => {
    await root.run('systemctl', 'enable', '--now', 'gantry-run@web.timer');
    const shown = await root.run(
      'systemctl',
      'show',
      'gantry-run@web.timer',
      '-p',
      'ActiveState,RandomizedDelayUSec,Persistent,NextElapseUSecRealtime',
    );
    expect(shown.split('\n')).toEqual(expect.arrayContaining(['ActiveState=active', 'RandomizedDelayUSec=1h', 'Persistent=yes']));
    expect(shown).toMatch(/^NextElapseUSecRealtime=\w{3} \d{4}-\d\d-\d\d 0[12]:/m);
    await root.run('systemctl', 'disable', '--now', 'gantry-run@web.timer');
  });

  test("the pages' own units and lines for cron export and verify", async () => {
    await root.run('sh', '-ec', 'cp /root/web1.yaml /etc/gantry/instances');
    const [script, enable] = await shellBlocks('export-every-night', 4);
    await writeFile(root.path('/usr/local/sbin/gantry-nightly'), script, { mode: 0o755 });
    const [service, timer] = await blocksOf('export-every-night', 'ini');
    await addUnit(root, 'gantry-nightly.service', service);
    await addUnit(root, 'gantry-nightly.timer', timer);
    await root.run('sh', '-ec', enable);
    expect(await root.run('systemctl', 'show', '-p', 'NextElapseUSecRealtime', 'gantry-nightly.timer')).toMatch(/ 02:00:00 /);
    await root.run('systemctl', 'start', 'gantry-nightly.service');
    expect(await root.run('journalctl', '-u', 'gantry-nightly.service')).toContain('every frame and digest is correct');

    const mails = await runByCron(root, [...(await blocksOf('export-every-night', '')), ...(await blocksOf('verify-every-night', ''))]);
    expect(mails).toMatch(/^Subject: Cron <root@.*gantry-nightly$[^]*every frame and digest is correct/m);
    expect(mails).toMatch(/^Subject: Cron <root@.*gantry verify \/srv\/exports --budget 5% --quiet$[^]* verified/m);

    await addUnit(root, 'gantry-verify.service', await blockOf('verify-every-night', 'ini'));
    await root.run('systemctl', 'start', 'gantry-verify.service');
    await root.run('sh', '-ec', 'truncate -s 100 /srv/exports/web1.example.com/*/disk0.zst');
    expect(await root.attempt('systemctl', 'start', 'gantry-verify.service')).toMatchObject({ exitCode: 1 });
    expect(await root.run('systemctl', '--failed')).toContain('gantry-verify.service');
    await root.run('systemctl', 'disable', '--now', 'gantry-nightly.timer');
    await root.run('sh', '-ec', 'rm -r /srv/exports/* /etc/gantry/instances/web1.yaml; gantry store init /srv/exports');
  });

  test('the service runs the example of the configuration, and a shutdown waits for it', async () => {
    await useExample(root);
    await defineOs(
      root,
      'asking',
      'until systemd-inhibit --list --no-legend | grep gantry >/srv/inhibitors; do sleep 0.1; done\ncat "$EXPORT_DEVICE"\n',
    );
    await addInstance(root, 'asking');
    await root.run('systemctl', 'start', 'gantry-run@web.service');
    expect(await root.run('gantry', 'list', 'nightly')).toContain('asking.example.com');
    expect(await root.run('cat', '/srv/inhibitors')).toMatch(/^gantry +.*shutdown:sleep +exports of the policy web +block/m);
    expect(await root.attempt('systemd-inhibit', '--list', '--no-legend')).toMatchObject({ stdout: expect.not.stringContaining('gantry') });
  });

  test('the timer catches up on a night in which the host was down', async () => {
    const unit = 'gantry-run@web.service';
    await root.run('mkdir', '-p', '/etc/systemd/system/gantry-run@web.timer.d', '/var/lib/systemd/timers');
    await writeFile(root.path('/etc/systemd/system/gantry-run@web.timer.d/at-once.conf'), '[Timer]\nRandomizedDelaySec=0\n');
    await root.run('touch', '-d', '2 days ago', '/var/lib/systemd/timers/stamp-gantry-run@web.timer');
    await root.run('systemctl', 'daemon-reload');
    await root.run('systemctl', 'start', 'gantry-run@web.timer');
    const isTwice = `[ "$(gantry list nightly | grep -c 'asking.*complete')" = 2 ]`;
    const isOver = `systemctl show -p ActiveState ${unit} | grep -q '=inactive\\|=failed'`;
    await root.run('sh', '-ec', `until ${isTwice} && ${isOver}; do sleep 0.1; done`);
    expect(await root.run('systemctl', 'show', '-p', 'Result', '--value', unit)).toBe('success');
    await root.run('systemctl', 'stop', 'gantry-run@web.timer');
  });

  test('a stop ends the scripts of a run, and leaves nothing for the journal', async () => {
    await defineOs(root, 'slow', 'touch /srv/started\nexec sleep 1000\n');
    await addInstance(root, 'slow');
    await startSlowRun();
    await root.run('systemctl', 'stop', 'gantry-run@web.service');
    // So that nothing is started that reports it again.
    expect(await root.run('systemctl', 'show', '-p', 'Result', '--value', 'gantry-run@web.service')).toBe('success');
    expect(await readdir(root.path('/var/lib/gantry/runs'))).toEqual([]);
    expect(await root.run('gantry', 'list', 'nightly')).not.toContain('slow.example.com');
  });

  test('a run that is killed is reported at once, and to root if nobody knows to whom', async () => {
    await writeFile(root.path('/usr/sbin/sendmail'), '#!/bin/sh\nexec cat >>/srv/mail\n', { mode: 0o755 });
    const configuration = root.path('/etc/gantry/gantry.yaml');
    await appendFile(configuration, 'notify: { mail: { to: ops } }\n');
    await startSlowRun();
    await root.run('systemctl', 'kill', '--signal=KILL', 'gantry-run@web.service');
    await root.run('sh', '-ec', `until grep -q '^Subject: .*web on .*: killed, ' /srv/mail; do sleep 0.1; done`);
    expect(await readFile(root.path('/srv/mail'), 'utf8')).toMatch(/^To: ops$/m);
    const valid = await readFile(configuration, 'utf8');
    await writeFile(configuration, 'stores: [\n');
    expect(await root.attempt('systemctl', 'start', 'gantry-run@web.service')).toMatchObject({ exitCode: 1 });
    await root.run('sh', '-ec', 'until grep -q CONFIGURATION_SYNTAX /srv/mail; do sleep 0.1; done');
    expect(await readFile(root.path('/srv/mail'), 'utf8')).toMatch(/^To: root$/m);
    await writeFile(configuration, valid);
  });

  test('the agent of a fleet exports with a queue of its own; an upgrade starts it again, and exports go on', async () => {
    for (const unit of FLEET_UNITS) expect(await root.attempt('systemctl', 'is-enabled', unit)).toMatchObject({ stdout: 'disabled' });
    await root.run('mkdir', '/srv/fleet');
    const policy = 'policies: { fleet: { instances: /srv/fleet, stores: nightly } }\n';
    await writeFile(root.path('/etc/gantry/conf.d/fleet.yaml'), policy, { mode: 0o644 });
    await defineOs(root, 'quick', 'cat "$EXPORT_DEVICE"\n');
    await defineOs(root, 'steady', 'touch /srv/steady\nexec sleep 1000\n');
    for (const os of ['quick', 'steady']) await addInstance(root, os, '/srv/fleet');
    const isReady = ['sh', '-ec', 'until [ -S /var/lib/gantry/fleet/control ]; do sleep 0.1; done'] as const;
    await root.run('systemctl', 'enable', '--now', 'gantry-fleet-agent.service');
    await root.run(...isReady);
    const pid = async (): Promise<string> => await root.run('systemctl', 'show', '-p', 'MainPID', '--value', 'gantry-fleet-agent.service');
    const first = await pid();
    await root.run('gantry-fleet', 'run', 'steady.example.com');
    await root.run('sh', '-ec', 'until [ -e /srv/steady ]; do sleep 0.1; done');

    await root.run('apt-get', 'install', '-y', '--reinstall', `/root/${packages.deb}`);
    expect(await pid()).not.toBe(first);
    await root.run(...isReady);
    await root.run('sh', '-ec', "grep -aqs '[s]teady.example.com' /proc/[0-9]*/cmdline");
    await root.run('gantry-fleet', 'run', 'quick.example.com');
    await root.run('sh', '-ec', 'until ls /srv/exports/quick.example.com/*/manifest.json; do sleep 0.1; done');
  });

  test('the pages of a fleet are served to those with the password alone', async () => {
    await root.run('sh', '-ec', 'echo correct horse battery | gantry-fleet password --stdin /etc/gantry/fleet-password');
    await root.run('systemctl', 'start', 'gantry-fleet-web.service');
    const log = 'journalctl --unit gantry-fleet-web.service --output cat';
    await root.run('sh', '-ec', `until ${log} | grep 'the pages of the fleet are at http://127.0.0.1:8480'; do sleep 0.1; done`);
    const script = `
      const headers = { authorization: 'Basic ' + btoa('prometheus:correct horse battery') };
      const figures = 'http://127.0.0.1:8480/metrics';
      console.log((await fetch(figures)).status, await (await fetch(figures, { headers })).text());`;
    expect(await root.run('/usr/lib/gantry/node', '--input-type=module', '--eval', script)).toMatch(
      /^401 [^]*^gantry_fleet_running\{node="[^"]+"\} [12]$/m,
    );
  });

  test('removal stops timers, runs and a fleet, which clean up; purging switches them off', async () => {
    const wanted = ['timers.target.wants/gantry-run@web.timer', 'multi-user.target.wants/gantry-fleet-agent.service'];
    const links = wanted.map((name) => `/etc/systemd/system/${name}`);
    await root.run('systemctl', 'enable', '--now', 'gantry-run@web.timer');
    await startSlowRun();
    await root.run('apt-get', 'remove', '-y', 'gantry');
    for (const unit of ['gantry-run@web.timer', 'gantry-run@web.service', ...FLEET_UNITS])
      expect(await root.attempt('systemctl', 'is-active', unit), unit).toMatchObject({ stdout: expect.not.stringMatching(/^(de)?activ/) });
    // Of the exports of the agent too.
    expect(await readdir(root.path('/var/lib/gantry/runs'))).toEqual([]);
    expect(await readdir(root.path('/var/lib/gantry/fleet'))).toEqual(expect.arrayContaining(['ledger', 'queue']));
    for (const link of links) expect(await root.attempt('test', '-L', link), link).toMatchObject({ exitCode: 0 });
    await root.run('apt-get', 'purge', '-y', 'gantry');
    for (const link of links) expect(await root.attempt('test', '-L', link), link).toMatchObject({ exitCode: 1 });
  });
});
