import { execFile } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import {
  findFreePorts,
  makeAccount,
  makeTemporaryDirectory,
  mountNewBtrfs,
  mountNewTmpfs,
  mountReadOnly,
  PATIENTLY,
  startSshServer,
} from '@gantry/testkit';
import { afterAll, describe, expect, test, vi } from 'vitest';
import {
  ENGINES,
  digestOf,
  failureOf,
  failureOfOpening,
  open,
  pieces,
  piecesFrom,
  put,
  readDigest,
  runningClients,
} from '../test/helpers.ts';

const run = promisify(execFile);

/* Problems of a peer, from the start or later: each causes an error that names it, and leaves nothing behind. */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const account = scope.use(await makeAccount());
const server = scope.use(await startSshServer());
const accountServer = scope.use(await startSshServer({ user: account.name }));
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-trouble-'));
await mkdir(directory.file('there'));

describe.each(ENGINES)('by %s', (engine) => {
  test.concurrent('an unknown host is named', async () => {
    const failure = await failureOfOpening(`ssh://no-such-host.invalid/x?engine=${engine}`);
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/unknown host|cannot look up the host/) });
    expect(failure.message).toContain('no-such-host.invalid');
  });

  test.concurrent('a port without a listener', async () => {
    const failure = await failureOfOpening(`ssh://127.0.0.1:${await findFreePorts(1)}/x?engine=${engine}&config=none`);
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringContaining('connection refused') });
    expect(failure.hint).toContain('port');
  });

  test.concurrent('a missing directory: reading fails, and writing creates it, but not its parent', async () => {
    const none = directory.file(`${engine}-none`);
    await using store = await open(server.address(none, { engine }));
    expect(await failureOf(Array.fromAsync(store.list('')))).toMatchObject({ code: 'not-found', message: 'its directory does not exist' });
    expect(await failureOf(store.stat('a'))).toMatchObject({ code: 'not-found' });
    await using deep = await open(server.address(`${none}/x/y`, { engine }));
    expect(await failureOf(deep.begin('a'))).toMatchObject({ code: 'not-found', message: expect.stringContaining(`${none}/x`) });
    await put(store, 'a', 1);
    expect(await readdir(none)).toEqual(['a']);
  });

  test.concurrent('a directory that the account can neither read nor write', async () => {
    await using store = await open(accountServer.address(directory.path, { engine }));
    expect(await failureOf(store.begin('there/a'))).toMatchObject({ code: 'denied' });
    expect(await failureOf(Array.fromAsync(store.list('')))).toMatchObject({ code: 'denied' });
    expect(await failureOf(store.stat('there/a'))).toMatchObject({ code: 'denied' });
  });

  test.concurrent('a file system that is mounted read-only', async () => {
    await using mounted = await mountReadOnly(directory.file('there'));
    await using store = await open(server.address(mounted.path, { engine }));
    expect(await failureOf(store.begin('a'))).toMatchObject({ code: 'denied', message: expect.stringContaining('read-only') });
  });

  test.concurrent('a disk that gets full: nothing is left, and the space is free again', async () => {
    await using small = await mountNewTmpfs(8 * 1024 * 1024);
    await using store = await open(server.address(small.path, { engine }));
    {
      await using pending = await store.begin('disk0');
      expect(await failureOf(pending.append(pieces(64)))).toMatchObject({ code: 'full', key: 'disk0' });
    }
    expect(await readdir(small.path)).toEqual([]);
    await put(store, 'disk0', 4);
  });

  test.concurrent('a quota, although the disk has space', async () => {
    await using disk = await mountNewBtrfs();
    await run('btrfs', ['quota', 'enable', disk.path]);
    await run('btrfs', ['qgroup', 'limit', '8M', disk.path]);
    await using store = await open(server.address(disk.path, { engine }));
    {
      await using pending = await store.begin('disk0');
      const failure = await failureOf(pending.append(pieces(64)));
      expect(failure).toMatchObject({ code: 'full', key: 'disk0', hint: expect.stringContaining('quota') });
    }
    expect(await readdir(disk.path)).toEqual([]);
  });

  test.concurrent('a peer without SFTP', async () => {
    await using without = await startSshServer({ config: ['Subsystem other /bin/false'] });
    const failure = await failureOfOpening(without.address(directory.path, { engine }));
    expect(failure).toMatchObject({ code: 'unsupported', hint: expect.stringContaining('Subsystem sftp') });
  });

  test.concurrent('a peer that sends garbage', async () => {
    await using talking = await startSshServer({ config: ['ForceCommand echo Welcome to this machine, dear user'] });
    const failure = await failureOfOpening(talking.address(directory.path, { engine }));
    expect(failure).toMatchObject({ code: 'unsupported', message: expect.stringContaining('Welc') });
    expect(failure.hint).toContain('print nothing');
  });

  test.concurrent('a peer without a common algorithm', async () => {
    await using old = await startSshServer({ config: ['KexAlgorithms diffie-hellman-group1-sha1'] });
    const failure = await failureOfOpening(old.address(directory.path, { engine }));
    expect(failure).toMatchObject({ code: 'unsupported', message: expect.stringMatching(/no algorithm in common/) });
  });

  test.concurrent('a server that cannot link, sync or replace works with a warning, but cannot replace objects', async () => {
    await using poor = await startSshServer({ sftpArguments: '-P fsync,hardlink,posix-rename,statvfs,limits' });
    const warnings: string[] = [];
    const address = poor.address(directory.file(`${engine}-poor`), { engine });
    await using store = await open(address, { warn: (message) => void warnings.push(message) });
    await put(store, 'a', 3);
    expect(await readDigest(store, 'a')).toBe((await digestOf(3)).sha256);
    expect(await failureOf(put(store, 'a', 1))).toMatchObject({ code: 'exists' });
    expect(await failureOf(store.begin('a', { ifExists: 'replace' }))).toMatchObject({ code: 'unsupported' });
    expect(warnings.filter((warning) => warning.includes('lacks fsync'))).toHaveLength(1);
  });

  test.concurrent('a server that allows only one session per connection is slower, but works', async () => {
    await using narrow = await startSshServer({ config: ['MaxSessions 1'] });
    await using store = await open(narrow.address(directory.file(`${engine}-narrow`), { engine }));
    await Promise.all([put(store, 'a', 70), put(store, 'b', 3)]);
    expect(await readDigest(store, 'a')).toBe((await digestOf(70)).sha256);
  });

  test.concurrent('a peer that is killed during a write: the durable bytes can be resumed when it is back', async () => {
    const store = directory.file(`${engine}-killed`);
    await using first = await startSshServer();
    const before = await open(first.address(store, { engine }));
    const pending = await before.begin('disk0');
    await pending.append(pieces(128));
    // A peer that is killed may have made more durable than it has said.
    await vi.waitUntil(() => pending.durableBytes > 0, { timeout: 60_000 });
    await using again = await startSshServer({ like: first });
    await first.kill();
    expect(await failureOf(pending.append(pieces(64)))).toMatchObject({ code: 'unavailable', key: 'disk0' });
    await pending.discard();
    await before[Symbol.asyncDispose]();
    expect(await readdir(store)).toEqual(['.gantry-pending']);

    await using after = await open(again.address(store, { engine }));
    expect(await Array.fromAsync(after.pending(''))).toMatchObject([
      { token: pending.token, key: 'disk0', durableBytes: pending.durableBytes },
    ]);
    await using resumed = await after.resume(pending.token);
    await resumed.append(piecesFrom(resumed.durableBytes, 128));
    await resumed.commit(await digestOf(128));
    expect(await readdir(store)).toEqual(['disk0']);
    expect(await readDigest(after, 'disk0')).toBe((await digestOf(128)).sha256);
  });

  test.concurrent('killed sessions: the next call opens a new one', async () => {
    await using shaky = await startSshServer();
    await using store = await open(shaky.address(directory.file(`${engine}-shaky`), { engine }));
    await put(store, 'a', 2);
    const source = await store.read('a');
    await shaky.killSessions();
    expect(await failureOf(Array.fromAsync(source, () => undefined))).toMatchObject({ code: 'unavailable', key: 'a' });
    expect(await readDigest(store, 'a')).toBe((await digestOf(2)).sha256);
  });
});

test('a machine without ssh uses ssh2; if ssh is requested, the error says that it is missing', async () => {
  const address = server.address(directory.file('there'));
  await using store = await open(address, { env: { PATH: '/nonexistent' } });
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
  const failure = await failureOfOpening(`${address}&engine=openssh`, { env: { PATH: '/nonexistent' } });
  expect(failure).toMatchObject({ code: 'unsupported', message: expect.stringContaining('ssh is not installed on this machine') });
});

test('an ssh that is too old, or not OpenSSH, is not used', async () => {
  await mkdir(directory.file('bin'));
  for (const version of ['OpenSSH_8.4p1 Debian-5', 'Dropbear v2022.83']) {
    await writeFile(directory.file('bin', 'ssh'), `#!/bin/sh\necho '${version}' >&2\n`, { mode: 0o755 });
    await using store = await open(server.address(directory.file('there')), { env: { PATH: `${directory.file('bin')}:/usr/bin:/bin` } });
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
  }
});

test('in the end nothing is running here or on the peer', async ({ expect }) => {
  await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
  await expect.poll(runningClients, PATIENTLY).toEqual([]);
});
