import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeAccount, makeSshKey, makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOfOpening, open } from '../../test/helpers.ts';

const run = promisify(execFile);
const HELPER = fileURLToPath(new URL('../../bin/askpass.sh', import.meta.url));

/** The passphrase of a key that is also the password of an account: a host that gets it by mistake accepts it, and its log shows that. */
const PASSPHRASE = 'correct horse';

describe('the askpass helper of ssh', () => {
  const LONG = `/home/${'é'.repeat(60)}/id_ed25519`;
  const first100 = Buffer.from(LONG).subarray(0, 100).toString('latin1');

  async function answer(question: string, keyFile = ''): Promise<string> {
    const env = { GANTRY_SSH_PASSPHRASE: PASSPHRASE, GANTRY_SSH_KEY: keyFile, PATH: '/usr/bin:/bin', LC_ALL: 'C' };
    // As bytes, because ssh may cut a character in half.
    const word = `$(printf '${[...Buffer.from(question, 'latin1')].map((byte) => `\\${byte.toString(8).padStart(3, '0')}`).join('')}x')`;
    const { stdout } = await run('sh', ['-c', `q=${word}; exec '${HELPER}' "\${q%x}"`], { env }).catch(() => ({ stdout: '' }));
    return stdout;
  }

  test.each([
    ['any key', "Enter passphrase for key '/root/.ssh/id_rsa': ", ''],
    ['a key with a quote in its name', "Enter passphrase for key '/root/o'brien': ", ''],
    ['the one key', "Enter passphrase for key '/root/.ssh/id_rsa': ", '/root/.ssh/id_rsa'],
    ['the one key, whose name ssh cuts off', `Enter passphrase for key '${first100}': `, LONG],
  ])('answers with the passphrase for %s', async (_what, question, key) => {
    expect(await answer(question, key)).toBe(`${PASSPHRASE}\n`);
  });

  test.each([
    ['a password', "root@gateway's password: ", ''],
    ['an unknown host key', 'Are you sure you want to continue connecting (yes/no/[fingerprint])? ', ''],
    ['an unknown host key, again', "Please type 'yes', 'no' or the fingerprint: ", ''],
    ['a question of the server', "(root@gateway) Enter passphrase for key '/root/.ssh/id_rsa': ", ''],
    ['the PIN of a token', "Enter PIN for 'token': ", ''],
    ['another key than the one', "Enter passphrase for key '/root/.ssh/id_ecdsa': ", '/root/.ssh/id_rsa'],
    ['a key whose name is a prefix of it', "Enter passphrase for key '/root/.ssh/id': ", '/root/.ssh/id_rsa'],
    ['another long name', `Enter passphrase for key '${first100.replace('home', 'root')}': `, LONG],
    ['nothing', '', ''],
  ])('does not answer for %s', async (_what, question, key) => {
    expect(await answer(question, key)).toBe('');
  });
});

describe.each(ENGINES)('a jump host, by %s', async (engine) => {
  const scope = new AsyncDisposableStack();
  afterAll(() => scope.disposeAsync());
  const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-askpass-'));
  const account = scope.use(await makeAccount({ password: PASSPHRASE }));
  const peer = scope.use(await startSshServer());
  const gateway = scope.use(await startSshServer({ user: account.name, config: ['PasswordAuthentication yes'] }));
  const locked = directory.file('locked');
  await makeSshKey(locked, { passphrase: PASSPHRASE });
  await writeFile(peer.authorizedKeysFile, await readFile(`${locked}.pub`), { flag: 'a' });
  const env = { GANTRY_SSH_PASSPHRASE: PASSPHRASE };

  async function address(name: string, identity: string, knownHosts = gateway.knownHostsFile): Promise<string> {
    const lines = [
      'Host peer',
      `  Port ${peer.port}`,
      '  User root',
      `  IdentityFile ${locked}`,
      `  UserKnownHostsFile ${peer.knownHostsFile}`,
      '  ProxyJump gateway',
      'Host gateway',
      `  Port ${gateway.port}`,
      `  User ${account.name}`,
      `  IdentityFile ${identity}`,
      `  UserKnownHostsFile ${knownHosts}`,
      'Host *',
      '  HostName 127.0.0.1',
      '  IdentitiesOnly yes',
      '',
    ];
    await writeFile(directory.file(name), lines.join('\n'));
    const query = new URLSearchParams({ engine, config: directory.file(name) });
    return `ssh://peer${directory.file('store')}?${query.toString()}`;
  }

  test('that asks for a password does not get the passphrase of a key', async () => {
    const failure = await failureOfOpening(await address('password', 'none'), { env });
    expect(failure).toMatchObject({ code: 'denied' });
    expect(gateway.log()).not.toContain('Accepted password');
  });

  test('whose host key is unknown is refused at once', async () => {
    const failure = await failureOfOpening(await address('strange', gateway.identityFile, '/nonexistent'), { env });
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('is unknown') });
  });

  test('gets its own key, which the same passphrase opens', async () => {
    await writeFile(gateway.authorizedKeysFile, await readFile(`${locked}.pub`), { flag: 'a' });
    await using store = await open(await address('same', locked), { env });
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });
});
