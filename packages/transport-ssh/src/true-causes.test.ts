import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import type { SshServer } from '@gantry/testkit';
import {
  findFreePorts,
  makeAccount,
  makeSshKey,
  makeTemporaryDirectory,
  startSilentServer,
  startSshAgent,
  startSshServer,
} from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOfOpening, open, put } from '../test/helpers.ts';

const run = promisify(execFile);

/* A connection to a peer fails for many reasons that look alike. The error names the true one, with details to find it. */

const PASSPHRASE = 'correct horse';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-causes-'));
await chmod(directory.path, 0o755);
const file = (name: string): string => directory.file(name);
const stranger = file('stranger');
await makeSshKey(stranger);

/** An address that offers only this key. */
const bare = (peer: SshServer, engine: string, identity: string): string =>
  peer.address('/', { engine, config: 'none', knownHosts: peer.knownHostsFile, identity });

/** A server whose account has this program as its shell, or this configuration. */
async function serverFor(options: { readonly shell?: string; readonly config?: readonly string[] }): Promise<SshServer> {
  const account = scope.use(await makeAccount(options.shell === undefined ? {} : { shell: options.shell }));
  return scope.use(await startSshServer({ user: account.name, config: options.config ?? [] }));
}

async function script(name: string, text: string): Promise<string> {
  await writeFile(file(name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
  return file(name);
}

describe.each(ENGINES)('a key file that cannot be used, by %s', async (engine) => {
  const key = await readFile(server.identityFile, 'latin1');
  await makeSshKey(file(`${engine}-locked`), { passphrase: PASSPHRASE });
  await writeFile(server.authorizedKeysFile, await readFile(file(`${engine}-locked.pub`)), { flag: 'a' });
  await mkdir(file(`${engine}-directory`));

  test.each([
    ['that does not exist', 'absent', undefined, 'it does not exist'],
    ['that is empty', 'empty', '', 'it is empty'],
    ['that is the public half', 'key.pub', await readFile(`${server.identityFile}.pub`, 'latin1'), 'the public half'],
    ['in PuTTY format', 'putty', 'PuTTY-User-Key-File-3: ssh-ed25519\n', 'PuTTY'],
    ['that is something else', 'other', 'some text\n', 'it does not contain a private key'],
    ['that is a directory', 'directory', undefined, 'it is not a file'],
    ['that needs a passphrase', 'locked', undefined, 'it needs a passphrase'],
  ])('%s is named with the reason', async (_what, name, text, why) => {
    const identity = file(`${engine}-${name}`);
    if (text !== undefined) await writeFile(identity, text, { mode: 0o600 });
    const failure = await failureOfOpening(bare(server, engine, identity));
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining(`not usable: ${identity} (`),
    });
    expect(failure.message).toContain(why);
  });

  test('that needs another passphrase is named', async () => {
    const identity = file(`${engine}-locked`);
    const failure = await failureOfOpening(bare(server, engine, identity), { env: { GANTRY_SSH_PASSPHRASE: 'wrong horse' } });
    expect(failure.message).toContain(`${identity} (the passphrase does not open it)`);
    expect(JSON.stringify([failure.message, failure.hint])).not.toContain('horse');
  });

  test.runIf(engine === 'openssh').each([
    ['that other users can read', 'open', key, 0o644, 'other users can read it (mode 0644)'],
    ['whose last line lacks a line end', 'cut', key.trimEnd(), 0o600, 'its last line lacks a line end'],
    ['with Windows line ends', 'crlf', key.replaceAll('\n', '\r\n'), 0o600, 'CR LF'],
  ])('%s is named with the reason', async (_what, name, text, mode, why) => {
    const identity = file(name);
    await writeFile(identity, text, { mode });
    const failure = await failureOfOpening(bare(server, engine, identity));
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining(`${identity} (${why === 'CR LF' ? 'it has Windows line ends' : why}`),
    });
    expect(failure.message).toContain(why);
    expect(failure.hint).toContain(identity);
  });

  test('that the peer refused is not called unusable', async () => {
    const failure = await failureOfOpening(bare(server, engine, stranger));
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining('accepted no key (it allows: publickey'),
    });
    expect(failure.message).not.toContain('not usable');
    expect(failure.hint).toContain('authorized_keys');
  });

  test('an agent that cannot be reached is named', async () => {
    const env = { SSH_AUTH_SOCK: file('no-agent') };
    const failure = await failureOfOpening(server.address('/', { engine, config: 'none', knownHosts: server.knownHostsFile }), { env });
    expect(failure.message).toContain('the agent (cannot connect: ');
  });

  test('an agent with more keys than the peer accepts', async () => {
    const keys = Array.from({ length: 7 }, (_, index) => file(`${engine}-many-${index}`));
    for (const each of keys) await makeSshKey(each);
    await using agent = await startSshAgent(...keys);
    const address = server.address('/', { engine, config: 'none', knownHosts: server.knownHostsFile });
    const failure = await failureOfOpening(address, { env: { SSH_AUTH_SOCK: agent.socket } });
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('too many unknown keys') });
    expect(failure.hint).toContain('?identity=FILE');
  });
});

describe.each(ENGINES)('a peer whose account cannot use SFTP, by %s', (engine) => {
  const opening = async (peer: SshServer): ReturnType<typeof failureOfOpening> => failureOfOpening(peer.address('/', { engine }));

  test('because sftp-server is missing', async () => {
    const peer = await serverFor({ config: ['Subsystem sftp /usr/libexec/no-sftp-server-here'] });
    const failure = await opening(peer);
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('the peer cannot start its SFTP server'),
    });
    expect(failure.hint).toContain('Subsystem sftp internal-sftp');
  });

  test('because it cannot log in', async () => {
    const failure = await opening(await serverFor({ shell: '/usr/sbin/nologin', config: ['Subsystem sftp /usr/lib/openssh/sftp-server'] }));
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('This account is currently not available.'),
    });
  });

  test('a shell that prints something, which is shown, but does nothing to the terminal', async () => {
    const shell = await script(`${engine}-shell`, `printf 'Good \\033[31mmorning\\033]0;x\\007\\n'; exec /bin/sh "$@"`);
    const failure = await opening(await serverFor({ shell, config: ['Subsystem sftp /usr/lib/openssh/sftp-server'] }));
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('the peer sent text instead of SFTP: "Good  [31mmorning ]0;x"'),
    });
    expect(failure.message).not.toMatch(/\p{Cc}/u);
    expect(failure.hint).toContain('internal-sftp');
  });

  test('because of a text of three letters', async () => {
    const failure = await opening(await serverFor({ config: ['ForceCommand printf hi!'] }));
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('sent text instead of SFTP: "hi!"'),
    });
  });

  test('because of a forced command that fails', async () => {
    const failure = await opening(await serverFor({ config: ['ForceCommand exit 3'] }));
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('ended with status 3'),
    });
  });
});

describe.each(ENGINES)('a host key, by %s', (engine) => {
  test('that has changed: the error names the file and line of the old one', async () => {
    const knownHosts = file(`${engine}-known`);
    const key = await readFile(`${stranger}.pub`, 'utf8');
    await writeFile(knownHosts, `# mine\nother.example.com ${key}[127.0.0.1]:${server.port} ${key}`);
    const failure = await failureOfOpening(server.address('/', { engine, knownHosts }));
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining(`line 3 of ${knownHosts} has another key`),
    });
  });
});

describe('certificates', async () => {
  const authority = file('authority');
  await makeSshKey(authority);
  const certified = scope.use(await startSshServer({ config: [`TrustedUserCAKeys ${authority}.pub`] }));
  const sign = (...args: readonly string[]): Promise<unknown> => run('ssh-keygen', ['-q', '-s', authority, '-I', 'id', ...args]);

  test.each([
    ['expired', ['-n', 'root', '-V', '20200101:20210101'], 'it expired at 2021-01-01T00:00:00'],
    ['not yet valid', ['-n', 'root', '-V', '20900101:20910101'], 'it is only valid from 2090-01-01T00:00:00'],
    ['for other users', ['-n', 'alice,bob'], 'it is for alice, bob, not for root'],
    ['of a host', ['-h', '-n', 'root'], 'it is a host certificate'],
  ])('a user certificate that is %s is named', async (name, args, why) => {
    const identity = file(`cert-${name.replaceAll(' ', '-')}`);
    await makeSshKey(identity);
    await sign(...args, `${identity}.pub`);
    const failure = await failureOfOpening(bare(certified, 'openssh', identity));
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining(`not usable: ${identity}-cert.pub (${why})`),
    });
  });

  test.each([
    ['as it should be', ['-n', '127.0.0.1'], undefined],
    ['expired', ['-n', '127.0.0.1', '-V', '20200101:20210101'], 'is not valid: expired'],
    ['of another host', ['-n', 'other.example.com'], 'is not valid: name is not a listed principal'],
  ])('a host certificate that is %s', async (_name, args, why) => {
    const hostKey = file(`host-${args.length}-${args[1]}`);
    await makeSshKey(hostKey);
    await sign('-h', ...args, `${hostKey}.pub`);
    const peer = scope.use(await startSshServer({ config: [`HostKey ${hostKey}`, `HostCertificate ${hostKey}-cert.pub`] }));
    const knownHosts = `${hostKey}-known`;
    await writeFile(knownHosts, `@cert-authority * ${await readFile(`${authority}.pub`, 'utf8')}`);
    const address = peer.address(directory.file('store'), { engine: 'openssh', knownHosts });
    if (why === undefined) {
      await using store = await open(address);
      return await put(store, 'certified', 1);
    }
    const failure = await failureOfOpening(address);
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining(why) });
    expect(failure.message).toMatch(/SHA256:/);
  });
});

describe('a host that cannot be used', () => {
  test('because its host key has a type that is not allowed here', async () => {
    const config = file('algorithms');
    await writeFile(config, `HostKeyAlgorithms rsa-sha2-256\n${await readFile(server.configFile, 'utf8')}`);
    const failure = await failureOfOpening(server.address('/', { engine: 'openssh', config }));
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('no host key of an allowed type'),
    });
    expect(failure.hint).toContain('HostKeyAlgorithms');
  });

  test('because it is not an SSH server', async () => {
    await using other = await startSilentServer('HTTP/1.1 400 Bad Request\r\n\r\n', 'goodbye');
    const failure = await failureOfOpening(`ssh://127.0.0.1:${other.port}/x?engine=openssh&config=none`);
    expect(failure).toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('not SSH: it says "HTTP/1.1 400'),
    });
  });

  test.each(ENGINES)('because a link-local address lacks its interface, by %s', async (engine) => {
    const failure = await failureOfOpening(`ssh://[fe80::1]:1/x?engine=${engine}&config=none`);
    expect(failure).toMatchObject({ code: 'unavailable', hint: expect.stringContaining('%eth0') });
  });
});

const failing = await script('failing', 'echo "no such tunnel" >&2; exit 1');

describe.each(ENGINES)('a jump host or ProxyCommand, by %s', (engine) => {
  /** @param port the peer's port, as seen from there */
  async function through(name: string, lines: readonly string[], port = server.port): ReturnType<typeof failureOfOpening> {
    const config = file(`${engine}-${name}`);
    const trust = [`UserKnownHostsFile ${server.knownHostsFile} ${file('known-gateways')}`, `IdentityFile ${server.identityFile}`];
    await writeFile(config, ['Host peer', ...lines, 'Host *', 'HostName 127.0.0.1', ...trust, ''].join('\n'));
    return failureOfOpening(`ssh://root@peer:${port}/?${new URLSearchParams({ engine, config }).toString()}`);
  }

  async function gateway(config: readonly string[]): Promise<readonly string[]> {
    const host = scope.use(await startSshServer({ config }));
    await writeFile(file('known-gateways'), await readFile(host.knownHostsFile), { flag: 'a' });
    return ['ProxyJump gateway', 'Host gateway', `Port ${host.port}`, `IdentityFile ${host.identityFile}`, 'User root'];
  }

  test('a jump host that does not allow forwarding', async () => {
    const failure = await through('closed', await gateway(['AllowTcpForwarding no']));
    expect(failure).toMatchObject({
      code: 'denied',
      message: expect.stringContaining('does not allow forwarding'),
    });
    expect(failure.hint).toContain('AllowTcpForwarding');
  });

  test('a jump host that cannot reach the peer', async () => {
    const failure = await through('far', await gateway([]), await findFreePorts(1));
    expect(failure).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/cannot reach the peer \(.*connection refused/i),
    });
  });

  test.each([
    ['that does not exist', '/nonexistent-command', 'nonexistent-command'],
    ['that fails', `${failing} %h`, '"no such tunnel"'],
  ])('a ProxyCommand %s is named with its output', async (name, command, words) => {
    const failure = await through(`proxy-${name.replaceAll(' ', '-')}`, [`ProxyCommand ${command}`]);
    expect(failure).toMatchObject({
      code: 'unavailable',
      message: expect.stringMatching(/the ProxyCommand ".*" ended before the peer answered: ".+"/),
    });
    expect(failure.message).toContain(words);
  });
});
