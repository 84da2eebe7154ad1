import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { makeAccount, makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOfOpening, open, put } from '../../test/helpers.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const account = scope.use(await makeAccount());
const peer = scope.use(await startSshServer());
const gateway = scope.use(await startSshServer({ user: account.name }));
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-config-'));
await mkdir(directory.file('home', '.ssh'), { recursive: true });

const hosts = (...lines: readonly string[]): string => `${lines.join('\n')}\n`;
const PEER = [
  'Host pe?r !peer2',
  '  HostName 127.0.0.1',
  `  Port ${peer.port}`,
  '  User root',
  `  IdentityFile ${peer.identityFile}`,
  '  IdentitiesOnly yes',
  `  UserKnownHostsFile /nonexistent ${peer.knownHostsFile}`,
];
const gatewayLines = ({ identityFile = gateway.identityFile, knownHostsFile = gateway.knownHostsFile } = {}): readonly string[] => [
  'Host gateway',
  '  HostName 127.0.0.1',
  `  Port ${gateway.port}`,
  `  User ${account.name}`,
  `  IdentityFile ${identityFile}`,
  '  IdentitiesOnly yes',
  `  UserKnownHostsFile ${knownHostsFile}`,
];

async function config(name: string, text: string): Promise<string> {
  await writeFile(directory.file(name), text);
  return directory.file(name);
}

describe.each(ENGINES)('the ssh configuration, by %s', (engine) => {
  const address = (host: string, file: string): string =>
    `ssh://${host}${directory.file('store')}?${new URLSearchParams({ engine, config: file }).toString()}`;

  test('gives the host, user, key and known hosts of an alias', async () => {
    await using store = await open(address('peer', await config('alias', hosts(...PEER))));
    await put(store, `${engine}-alias`, 1);
    expect(await readdir(directory.file('store'))).toContain(`${engine}-alias`);
  });

  test('is overridden by the address', async () => {
    const file = await config('overruled', hosts('Host 127.0.0.1', '  User nobody', '  Port 1', ...PEER.slice(4)));
    const failure = await failureOfOpening(address('127.0.0.1', file));
    expect(failure.code).toBe('unavailable');
    await using store = await open(address(`root@127.0.0.1:${peer.port}`, file));
    await put(store, `${engine}-overruled`, 1);
  });

  test('can lead through a jump host, with its own authentication and host key', async () => {
    const before = gateway.log().length;
    const file = await config('jump', hosts(...PEER, '  ProxyJump gateway', ...gatewayLines()));
    await using store = await open(address('peer', file));
    await put(store, `${engine}-jump`, 1);
    expect(gateway.log().slice(before)).toContain(`Accepted publickey for ${account.name}`);
  });

  test('with a jump host whose key is unknown: the error names it', async () => {
    const strange = gatewayLines({ knownHostsFile: '/nonexistent' });
    const failure = await failureOfOpening(address('peer', await config('strange', hosts(...PEER, '  ProxyJump gateway', ...strange))));
    const named = engine === 'openssh' ? 'the jump host gateway' : `[127.0.0.1]:${gateway.port}`;
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining(`the host key of ${named} is unknown`) });
  });

  test('does not accept a new jump host, even if a new peer is accepted', async () => {
    const trusted = directory.file(`${engine}-trusted`);
    const strange = gatewayLines({ knownHostsFile: trusted });
    const file = await config('strange-new', hosts(...PEER, '  ProxyJump gateway', ...strange));
    const failure = await failureOfOpening(`${address('peer', file)}&hostKeys=accept-new`);
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('is unknown') });
    await expect(readFile(trusted)).rejects.toThrow(/ENOENT/);
  });

  test('with a jump host that refuses the key', async () => {
    const nobody = gatewayLines({ identityFile: peer.identityFile });
    const failure = await failureOfOpening(address('peer', await config('closed', hosts(...PEER, '  ProxyJump gateway', ...nobody))));
    expect(failure).toMatchObject({ code: 'denied' });
  });

  test('must exist if the address names it', async () => {
    const failure = await failureOfOpening(address('peer', directory.file('none')));
    expect(failure.code).toBe('invalid-address');
    expect(failure.message).toContain(directory.file('none'));
  });
});

test('the ssh2 engine reads ~/.ssh/config by default, as ssh does', async () => {
  await writeFile(directory.file('home', '.ssh', 'config'), hosts(...PEER));
  const env = { HOME: directory.file('home') };
  await using store = await open(`ssh://peer${directory.file('store')}?engine=ssh2`, { env });
  await put(store, 'home', 1);
  expect(await readFile(directory.file('store', 'home'))).toHaveLength(1024 * 1024);
});
