import { writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { readPeerSettings } from './peer-settings.ts';

test.each(['Host peer\n  User "root\n', 'Match host\n  Port 22\n', '="'])(
  'a configuration that is damaged is refused: %j',
  async (text) => {
    await using directory = await makeTemporaryDirectory();
    const configFile = directory.file('config');
    await writeFile(configFile, text);
    const question = { host: 'peer', user: undefined, port: undefined, configFile, identityFiles: [], knownHostsFiles: [] };
    const reading = readPeerSettings(question, { cwd: '/', env: { HOME: directory.path }, warn: () => undefined });
    await expect(reading).rejects.toMatchObject({
      name: 'PeerError',
      code: 'invalid-address',
      message: expect.stringMatching(/^the ssh configuration cannot be read: "[^\n]+"$/),
    });
  },
);
