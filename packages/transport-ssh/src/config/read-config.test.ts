import { execFile } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { readPeerSettings } from './peer-settings.ts';

/* Compares how the ssh2 engine reads a configuration with the output of `ssh -G`. */

const run = promisify(execFile);

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-read-config-'));
const file = (name: string): string => directory.file(name);
await mkdir(file('conf.d'));
await mkdir(file('empty.d'));

const files = {
  'conf.d/10-first.conf': 'Host a\n  Port 1001\nHost *\n  User first\n',
  'conf.d/20-second.conf': 'Host a b\n  Port 2002\n  User second\n  HostName second.example.com\n',
  'plain.conf': 'User plain\nPort 3003\n',
  'nested.conf': `Port 4004\nInclude "${file('plain.conf')}"\n`,
  'circle.conf': `Include ${file('circle.conf')}\n`,
  'with space.conf': 'Port 5005\n',
  'jump.conf': 'ProxyJump none\n',
};
for (const [name, text] of Object.entries(files)) await writeFile(file(name), text);

let count = 0;

/** Both readings of the settings that decide where a connection goes. */
async function readings(
  text: string,
  host: string,
): Promise<{ readonly ours: unknown; readonly ofSsh: unknown; readonly warnings: string[] }> {
  const configFile = file(`config-${(count += 1)}`);
  await writeFile(configFile, text);
  const warnings: string[] = [];
  const local = { cwd: '/', env: { HOME: directory.path, SHELL: '/bin/sh' }, warn: (message: string) => void warnings.push(message) };
  const question = { host, user: undefined, port: undefined, configFile, identityFiles: [], knownHostsFiles: [] };
  const { hostName, port, user, jumps, proxyCommand } = await readPeerSettings(question, local);
  const { stdout } = await run('ssh', ['-G', '-F', configFile, host]);
  const value = (name: string): string | undefined => new RegExp(`^${name} (.*)$`, 'm').exec(stdout)?.[1];
  return {
    ours: { hostName, port: String(port), user, jump: jumps.join(',') || undefined, proxyCommand },
    ofSsh: {
      hostName: value('hostname'),
      port: value('port'),
      user: value('user'),
      jump: value('proxyjump'),
      // ssh -G does not expand its tokens.
      proxyCommand: value('proxycommand')?.replaceAll('%h', hostName).replaceAll('%p', String(port)),
    },
    warnings,
  };
}

describe.each(['a', 'b', 'c'])('for the host %s, as ssh does', (host) => {
  test.each([
    ['files that match a pattern, in order', `Include ${file('conf.d/*.conf')}\nHost *\n  Port 99\n`],
    ['a file in a Host that may not match', `Host b\n  Include ${file('plain.conf')}\nHost *\n  Port 99\n`],
    ['lines after an included Host', `Include ${file('conf.d/10-first.conf')}\nPort 98\n`],
    ['lines of a Host after an included Host', `Host b c\n  Include ${file('conf.d/20-second.conf')}\n  Port 97\nHost *\n  Port 96\n`],
    ['a file that includes another', `Include ${file('nested.conf')}\n`],
    ['a missing file, and a pattern without a match', `Include ${file('none.conf')} ${file('empty.d/*')}\nPort 95\n`],
    ['a name with a space', `Include "${file('with space.conf')}"\n`],
    ['several in one line, with =', `include=${file('plain.conf')} ${file('conf.d/10-first.conf')}\n`],
    ['a Match of a user that was set before', `Host a\n  User x\nMatch user x\n  Include ${file('plain.conf')}\nHost *\n  Port 94\n`],
    ['ProxyJump before ProxyCommand', `ProxyJump gate\nProxyCommand nc %h %p\n`],
    ['ProxyCommand before ProxyJump', `ProxyCommand nc -x "a b" %h %p\nProxyJump gate\n`],
    ['ProxyJump none in an included file', `Include ${file('jump.conf')}\nProxyJump gate\n`],
    ['ProxyCommand none', `ProxyCommand none\n`],
  ])('%s', async (_what, text) => {
    const { ours, ofSsh, warnings } = await readings(text, host);
    expect(ours).toEqual(ofSsh);
    expect(warnings).toEqual([]);
  });
});

const settingsOf = async (text: string): Promise<unknown> => (await readings(text, 'a')).ours;

test('files that include each other are refused', async () => {
  await expect(settingsOf(`Include ${file('circle.conf')}\n`)).rejects.toMatchObject({ code: 'invalid-address' });
});

test('a ProxyCommand that passes a descriptor is refused', async () => {
  await expect(settingsOf('ProxyUseFdpass yes\nProxyCommand nc -F %h %p\n')).rejects.toMatchObject({ code: 'unsupported' });
});

test('ignored options that may change the destination cause a warning, and run nothing', async () => {
  const { warnings } = await readings(`Match exec "false"\n  Port 1\nCanonicalizeHostname yes\n`, 'a');
  expect(warnings).toEqual([expect.stringContaining('Match exec'), expect.stringContaining('CanonicalizeHostname')]);
});
