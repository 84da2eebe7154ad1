import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { makeSshKey, makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOfOpening, open } from '../../test/helpers.ts';

const run = promisify(execFile);

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-trust-'));
await makeSshKey(directory.file('other-key'));
const key = await readFile(`${server.hostKeyFile}.pub`, 'utf8');
const otherKey = await readFile(directory.file('other-key.pub'), 'utf8');
const fingerprint = (await run('ssh-keygen', ['-l', '-f', server.hostKeyFile])).stdout.split(' ')[1] ?? '';
const host = `[127.0.0.1]:${server.port}`;

test.each(['strict', 'accept-new'])(
  'an unreadable known-hosts file fails the connection, because it may revoke the key (%s)',
  async (hostKeys) => {
    const url = new URL(server.address(directory.path, { engine: 'ssh2', hostKeys, knownHosts: directory.path }));
    url.searchParams.append('knownHosts', server.knownHostsFile);
    const failure = await failureOfOpening(url.href);
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining(`cannot read the known-hosts file ${directory.path}`),
    });
  },
);

test('the ssh2 engine refuses a host that only an authority vouches for, and suggests the engine that can check it', async () => {
  const knownHosts = directory.file('authority');
  await writeFile(knownHosts, `@cert-authority * ${otherKey}`);
  const failure = await failureOfOpening(server.address(directory.path, { engine: 'ssh2', hostKeys: 'accept-new', knownHosts }));
  expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('@cert-authority') });
  expect(failure.hint).toContain('engine=openssh');
});

describe.each(ENGINES)("the peer's host key, by %s", (engine) => {
  const address = (options: Readonly<Record<string, string>>): string => server.address(directory.path, { engine, ...options });

  /** A new known_hosts file. */
  async function known(name: string, ...lines: readonly string[]): Promise<string> {
    const file = directory.file(`${engine}-${name}`);
    await writeFile(file, lines.join(''));
    return file;
  }

  async function opens(options: Readonly<Record<string, string>>): Promise<void> {
    await using store = await open(address(options));
    await Array.fromAsync(store.list(''));
  }

  test('that is unknown is refused with its fingerprint, and not added', async () => {
    const knownHosts = await known('none');
    const failure = await failureOfOpening(address({ knownHosts }));
    expect(failure.code).toBe('denied');
    expect(failure.message).toContain('is unknown');
    expect(failure.message).toContain(fingerprint);
    expect(failure.hint).toContain('hostKeys=accept-new');
    expect(await readFile(knownHosts, 'utf8')).toBe('');
  });

  test('that is unknown is accepted with accept-new, and added', async () => {
    const knownHosts = await known('new', 'other.example.com ', key);
    await opens({ knownHosts, hostKeys: 'accept-new' });
    expect(await readFile(knownHosts, 'utf8')).toContain(key.split(' ')[1]);
    await opens({ knownHosts });
  });

  test.each(['strict', 'accept-new'])('that has changed is refused with its fingerprint (%s)', async (hostKeys) => {
    const knownHosts = await known(`changed-${hostKeys}`, `${host} ${otherKey}`);
    const failure = await failureOfOpening(address({ knownHosts, hostKeys }));
    expect(failure.code).toBe('denied');
    expect(failure.message).toContain('has changed');
    expect(failure.message).toContain(fingerprint);
    expect(await readFile(knownHosts, 'utf8')).toBe(`${host} ${otherKey}`);
  });

  test.each(['strict', 'accept-new'])('that is revoked is refused (%s)', async (hostKeys) => {
    const knownHosts = await known(`revoked-${hostKeys}`, `${host} ${key}`, `@revoked * ${key}`);
    const failure = await failureOfOpening(address({ knownHosts, hostKeys }));
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('revoked') });
  });

  test('under a hashed name is known', async () => {
    const knownHosts = await known('hashed', `${host} ${key}`);
    await run('ssh-keygen', ['-q', '-H', '-f', knownHosts]);
    expect(await readFile(knownHosts, 'utf8')).not.toContain('127.0.0.1');
    await opens({ knownHosts });
  });

  test('under the name without the port is known, as in ssh; another key there is ignored', async () => {
    await opens({ knownHosts: await known('plain', `127.0.0.1 ${key}`) });
    const other = await failureOfOpening(address({ knownHosts: await known('plain-other', `127.0.0.1 ${otherKey}`) }));
    expect(other).toMatchObject({ code: 'denied', message: expect.stringContaining('is unknown') });
  });

  test('that is revoked under the name without the port is refused', async () => {
    const knownHosts = await known('plain-revoked', `@revoked 127.0.0.1 ${key}`);
    const failure = await failureOfOpening(address({ knownHosts }));
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('revoked') });
  });

  test('is only looked up under its HostKeyAlias', async () => {
    const config = directory.file(`${engine}-alias-config`);
    const lines = ['HostKeyAlias vault', `IdentityFile ${server.identityFile}`, 'GlobalKnownHostsFile none', ''];
    await writeFile(config, lines.join('\n'));
    await opens({ config, knownHosts: await known('alias', `vault ${key}`) });
    const failure = await failureOfOpening(address({ config, knownHosts: await known('no-alias', `${host} ${key}127.0.0.1 ${key}`) }));
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('is unknown') });
  });

  test.each(['second file', "o'brien", 'a\\"b'])('in the second of several files, %s, is known', async (name) => {
    const url = new URL(address({ knownHosts: await known('first') }));
    url.searchParams.append('knownHosts', await known(name, `${host} ${key}`));
    await using store = await open(url.href);
    expect(await Array.fromAsync(store.list(''))).not.toEqual([]);
  });
});
