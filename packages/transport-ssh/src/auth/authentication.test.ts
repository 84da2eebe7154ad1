import { readFile, writeFile } from 'node:fs/promises';
import { makeSshKey, makeTemporaryDirectory, startSshAgent, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOfOpening, open } from '../../test/helpers.ts';

const PASSPHRASE = 'correct horse';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-auth-'));
const [locked, agents] = [directory.file('locked'), directory.file('agents')];
const strangers = Array.from({ length: 7 }, (_, index) => directory.file(`stranger-${index}`));
await makeSshKey(locked, { passphrase: PASSPHRASE });
for (const file of [agents, ...strangers]) await makeSshKey(file);
const accepted = await Promise.all([locked, agents].map((file) => readFile(`${file}.pub`, 'utf8')));
await writeFile(server.authorizedKeysFile, accepted.join(''));
const agent = scope.use(await startSshAgent(agents));
const fullAgent = scope.use(await startSshAgent(...strangers, agents));
// IdentityFile can name an agent's key by its public half.
await writeFile(directory.file('named.pub'), await readFile(`${agents}.pub`));

/** An ssh_config(5) with only these lines. */
async function config(name: string, ...lines: readonly string[]): Promise<string> {
  const file = directory.file(name);
  await writeFile(file, [`UserKnownHostsFile ${server.knownHostsFile}`, 'GlobalKnownHostsFile none', ...lines, ''].join('\n'));
  return file;
}

describe.each(ENGINES)('a login by %s succeeds', (engine) => {
  const address = (options: Readonly<Record<string, string>>): string => server.address(directory.path, { engine, ...options });

  async function opens(options: Readonly<Record<string, string>>, more: Parameters<typeof open>[1]): Promise<void> {
    await using store = await open(address(options), more);
    await Array.fromAsync(store.list(''));
  }

  test('with a key file whose passphrase is in the environment', async () => {
    await opens({ identity: locked }, { env: { GANTRY_SSH_PASSPHRASE: PASSPHRASE } });
  });

  test('with a key file whose passphrase the user enters, who is asked once', async () => {
    const asked: string[] = [];
    const askPassphrase = async (file: string): Promise<string> => {
      asked.push(file);
      return PASSPHRASE;
    };
    await opens({ identity: locked }, { askPassphrase });
    expect(asked).toEqual([locked]);
  });

  test('with an agent', async () => {
    await opens({ config: await config('agent', 'IdentityFile none') }, { env: { SSH_AUTH_SOCK: agent.socket } });
  });

  test('with the key of an agent that IdentityFile names', async () => {
    const env = { SSH_AUTH_SOCK: fullAgent.socket };
    const all = address({ config: await config('all', 'IdentityFile none') });
    expect(await failureOfOpening(all, { env })).toMatchObject({ code: expect.stringMatching(/denied|unavailable/) });
    await opens({ config: await config('named', `IdentityFile ${directory.file('named.pub')}`, 'IdentitiesOnly yes') }, { env });
  });
});

describe.each(ENGINES)('a login by %s fails with the cause', (engine) => {
  const address = (identity: string): string =>
    server.address(directory.path, { engine, config: 'none', knownHosts: server.knownHostsFile, identity });

  test.each([
    ['with a key that the peer does not know', strangers[0] ?? '', {}, 'authorized_keys'],
    ['with a key file that does not exist', directory.file('none'), {}, 'Check the name'],
    ['with a locked key without its passphrase', locked, {}, 'GANTRY_SSH_PASSPHRASE'],
    ['with a locked key and another passphrase', locked, { env: { GANTRY_SSH_PASSPHRASE: 'wrong' } }, 'GANTRY_SSH_PASSPHRASE'],
    ['with a locked key whose passphrase is not entered', locked, { askPassphrase: async () => undefined }, 'GANTRY_SSH_PASSPHRASE'],
  ])('%s', async (_what, identity, options, hint) => {
    const failure = await failureOfOpening(address(identity), options);
    expect(failure).toMatchObject({ code: 'denied', message: expect.stringContaining('accepted no key') });
    expect(failure.hint).toContain(hint);
    expect(JSON.stringify([failure.message, failure.hint])).not.toContain('wrong');
  });
});
