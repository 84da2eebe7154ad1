import { randomUUID } from 'node:crypto';
import { readFile, readdir, stat, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { CutProxy, SshServer } from '@gantry/testkit';
import {
  findFreePorts,
  makeAccount,
  makeJail,
  makeRandomFile,
  makeSparseFile,
  makeSshKey,
  mountNewTmpfs,
  oneIn,
  PATIENTLY,
  processesWithVariable,
  startCutProxy,
  startSshServer,
} from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { writeIdentity } from './sealed-export.ts';
import { expectEqualDisks, makeThreeDisks, ok } from './three-disks.ts';
import type { Workbench } from './workbench.ts';
import { MAIN, makeWorkbench, waitForFile } from './workbench.ts';

const MIB = 1024 * 1024;
/** The file that marks a directory as a store: it stays when everything else is removed. */
const MARKER = 'gantry-store.json';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const account = scope.use(await makeAccount());
const jail = scope.use(await makeJail(account));
const server: SshServer = scope.use(await startSshServer());
const jailed: SshServer = scope.use(await startSshServer({ user: account.name, jail: jail.path }));

/** The store's address through a proxy, with the same host key. */
async function throughProxy(proxy: CutProxy, bench: Workbench, directory: string): Promise<string> {
  const knownHosts = bench.file('known_hosts');
  await writeFile(knownHosts, `[127.0.0.1]:${proxy.port} ${await readFile(`${server.hostKeyFile}.pub`, 'utf8')}`);
  return server.address(directory, { knownHosts }).replace(`:${server.port}/`, `:${proxy.port}/`);
}

describe('an instance with three disks', () => {
  test.each(oneIn(2, ['openssh', 'ssh2']))('is exported to an SFTP-only account and imported equal, by %s', async (engine) => {
    await using bench = await makeWorkbench();
    const { source, target } = await makeThreeDisks(bench);
    const store = jailed.address('/home/store', { engine });
    const reference = await ok(bench.gantry('export', source, store));
    expect((await bench.gantry('list', store)).stdout).toContain(reference.split('@')[1]);
    expect(await ok(bench.gantry('verify', store, reference))).toMatch(/every frame and digest is correct/);
    await ok(bench.gantry('import', store, reference, '--to', target));
    await expectEqualDisks(bench);
    await ok(bench.gantry('remove', store, reference));
    expect(await readdir(jail.store)).toEqual([MARKER, 'gantry-verified']);
  });

  test('is not transferred faster than --limit-rate', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 3 * MIB, 'disk');
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    const before = performance.now();
    await ok(bench.gantry('export', source, server.address(bench.file('peer')), '--limit-rate', '2M'));
    // The first chunk goes at once, and each later one when the one before it has had its time.
    expect(performance.now() - before).toBeGreaterThan(700);
    expect((await bench.gantry('export', source, server.address(bench.file('peer')), '--limit-rate', 'fast')).exitCode).toBe(2);
  });

  test('that does not fit on the peer fails, and leaves nothing', async () => {
    await using bench = await makeWorkbench();
    await using small = await mountNewTmpfs(8 * MIB);
    const { source } = await makeThreeDisks(bench);
    const outcome = await bench.gantry('export', source, server.address(small.path));
    expect(outcome.exitCode, outcome.stderr).toBe(8);
    expect(outcome.stderr).toMatch(/full.*STORE_FULL/s);
    expect(await readdir(small.path)).toEqual([MARKER]);
  });

  test('whose connection is cut fails with the position, and gantry clean removes the rest', async () => {
    await using bench = await makeWorkbench();
    await using proxy = await startCutProxy(server.port);
    const { source } = await makeThreeDisks(bench);
    const store = await throughProxy(proxy, bench, bench.file('peer'));
    proxy.cutAfter(12 * MIB);
    const outcome = await bench.gantry('export', source, store);
    expect(outcome.exitCode, outcome.stderr).toBe(8);
    expect(outcome.stderr).toMatch(/disk\d\.zst in ssh:\S+\/peer(?: at byte \d+)?: the connection was cut \[STORE_UNAVAILABLE\]/);
    expect(await bench.journal()).toEqual([]);
    proxy.heal();
    await ok(bench.gantry('clean', store));
    expect(await readdir(bench.file('peer'))).toEqual([MARKER]);
    await ok(bench.gantry('export', source, store));
  });
});

test('a sealed incremental export stores on the peer what changed, without an identity here, and is restored with one', async () => {
  await using bench = await makeWorkbench();
  const recipient = await writeIdentity(bench.file('key.txt'));
  const store = server.address(bench.file('peer'));
  await makeRandomFile(bench.file('disk.img'), 12 * MIB, 'disk');
  const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
  const exporting = ['export', source, store, '--incremental', '--recipient', recipient];
  const first = await ok(bench.gantry(...exporting));
  const disk = await readFile(bench.file('disk.img'));
  disk.fill('changed', 5 * MIB, 6 * MIB);
  await writeFile(bench.file('disk.img'), disk);
  const second = await ok(bench.gantry(...exporting));
  const filesOf = (reference: string): Promise<string[]> => readdir(bench.file('peer', ...reference.split('@')));
  expect(await filesOf(first)).toContain('disk0.zst.age');
  expect(await filesOf(second)).toEqual(expect.arrayContaining(['disk0.map.age', 'disk0.pack.zst.age', 'sealed.json.age']));
  const pack = await stat(bench.file('peer', ...second.split('@'), 'disk0.pack.zst.age'));
  expect(pack.size).toBeLessThan(5 * MIB);
  await makeSparseFile(bench.file('target.img'), disk.length);
  const target = await bench.describeInstance('b.example.com', { disks: ['target.img'] });
  await ok(bench.gantry('import', store, second, '--to', target, '--identity', bench.file('key.txt')));
  expect((await readFile(bench.file('target.img'))).equals(disk)).toBe(true);
  expect(await ok(bench.gantry('verify', store))).toMatch(/^2 exports verified .*every digest is correct/);
});

test('what a killed export leaves on the peer is named by the next run and removed by gantry clean', async () => {
  await using bench = await makeWorkbench();
  await bench.defineOs('endless', {
    export: 'head -c 9000000 /dev/urandom; echo $$ >"$PWD/pid.tmp"; mv "$PWD/pid.tmp" "$PWD/pid"; while :; do sleep 1; done',
    import: 'cat >/dev/null',
  });
  await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
  const endless = await bench.describeInstance('web1.example.com', { os: 'endless', disks: ['disk.img'] });
  const store = server.address(bench.file('peer'));
  const running = bench.start('export', endless, store);
  await waitForFile(bench.file('os', 'endless', 'pid'));
  process.kill(running.pid, 'SIGKILL');
  await running.outcome;
  await vi.waitFor(async () => expect(await server.sessions()).toBe(0), PATIENTLY);
  expect((await bench.gantry('list', store)).stdout).toMatch(/unfinished/);

  expect((await bench.gantry('clean', store, '--dry-run')).stdout).toMatch(/unfinished export web1\.example\.com/);
  expect(await readdir(bench.file('peer'))).not.toEqual([MARKER]);
  expect((await bench.gantry('clean', store)).stdout).toMatch(/cleared: unfinished export web1\.example\.com/);
  expect(await readdir(bench.file('peer'))).toEqual([MARKER]);
});

test('an interrupted export leaves nothing on the peer, though Ctrl-C reaches every process of the terminal', async () => {
  await using bench = await makeWorkbench();
  await bench.defineOs('endless', {
    export: 'head -c 9000000 /dev/urandom; echo $$ >"$PWD/pid.tmp"; mv "$PWD/pid.tmp" "$PWD/pid"; while :; do sleep 1; done',
    import: 'cat >/dev/null',
  });
  await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
  const endless = await bench.describeInstance('web1.example.com', { os: 'endless', disks: ['disk.img'] });
  const running = bench.start('export', endless, server.address(bench.file('peer')));
  await waitForFile(bench.file('os', 'endless', 'pid'));
  running.kill('SIGINT');
  expect((await running.outcome).exitCode).toBe(130);
  expect(await readdir(bench.file('peer'))).toEqual([MARKER]);
  await vi.waitFor(async () => expect(await server.sessions()).toBe(0), PATIENTLY);
});

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('a ProxyCommand that does not answer is ended by %s, with all of its processes', async (signal, status) => {
  const mark = randomUUID();
  await using bench = await makeWorkbench({ GANTRY_TEST_MARK: mark });
  // Its child holds the stderr of ssh open, and neither ends by itself.
  const way = `#!/bin/sh\ntrap '' TERM HUP\nsleep 1000 &\ntouch '${bench.file('reached')}'\nwait\n`;
  await writeFile(bench.file('way'), way, { mode: 0o755 });
  await writeFile(bench.file('config'), `Host peer\n  ProxyCommand ${bench.file('way')}\n`);
  const running = bench.start('list', `ssh://peer/srv?engine=openssh&config=${bench.file('config')}&connectTimeout=600`);
  await waitForFile(bench.file('reached'));
  running.kill(signal);
  expect((await running.outcome).exitCode).toBe(status);
  expect(await processesWithVariable('GANTRY_TEST_MARK', mark)).toEqual([]);
});

describe('a peer that cannot be used', () => {
  test.each([
    ['a password in the address', () => 'ssh://root:hunter2@127.0.0.1/x', /password.*STORE_ADDRESS/s],
    ['a port without a listener', async () => `ssh://127.0.0.1:${await findFreePorts(1)}/x?config=none`, /refused.*STORE_UNAVAILABLE/s],
    ['a host key that is not known', () => server.address('/x', { knownHosts: '/dev/null' }), /SHA256:.*STORE_DENIED.*accept-new/s],
    [
      'a key that is refused',
      () => server.address('/x', { config: 'none', knownHosts: server.knownHostsFile, identity: '/dev/null' }),
      /accepted no key.*not usable: \/dev\/null.*STORE_DENIED/s,
    ],
    // Nothing listens there, but the attempt uses that interface.
    [
      'an address of an interface',
      () => 'ssh://root@[fe80::1:2:3%lo]:1/x?config=none',
      /ssh:\/\/root@\[fe80::1:2:3%lo\]:1\/x.*STORE_UNAVAILABLE/s,
    ],
    ['a directory that does not exist', () => server.address('/nonexistent'), /directory does not exist.*STORE_NOT_FOUND/s],
  ])('%s', async (_what, address, said) => {
    await using bench = await makeWorkbench();
    const outcome = await bench.gantry('list', await address());
    expect(outcome.exitCode, outcome.stderr).toBe(8);
    expect(outcome.stderr).toMatch(said);
    const [problem = ''] = outcome.stderr.split('\n');
    expect(problem.split('ssh://').length - 1, `the address once in: ${problem}`).toBeLessThanOrEqual(1);
    expect(outcome.stdout + outcome.stderr).not.toContain('hunter2');
  });
});

test.each(['openssh', 'ssh2'])('the passphrase of a key is asked for on the terminal, and not shown (%s)', async (engine) => {
  await using bench = await makeWorkbench();
  const identity = bench.file('locked');
  await makeSshKey(identity, { passphrase: 'open sesame' });
  await writeFile(server.authorizedKeysFile, await readFile(`${identity}.pub`), { flag: 'a' });
  const store = server.address(bench.path, { engine, identity });
  // A terminal of its own, without the agent of the tests.
  const command = [process.execPath, MAIN, 'list', store].map((word) => `'${word}'`).join(' ');
  const terminal = execa('script', ['--quiet', '--return', '--command', command, '/dev/null'], {
    env: { SSH_AUTH_SOCK: '' },
    reject: false,
  });
  let shown = '';
  let answered = false;
  terminal.stdout.on('data', (chunk: Buffer) => {
    shown += chunk.toString();
    if (!answered && shown.includes('Passphrase of the key')) {
      answered = true;
      terminal.stdin.write('opem\u007fn sesame\r');
    }
  });
  const { exitCode } = await terminal;
  expect(exitCode, shown).toBe(0);
  expect(shown).not.toContain('sesame');
});
