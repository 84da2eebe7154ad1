import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { readPeerSettings } from '../../src/config/peer-settings.ts';
import { PeerError } from '../../src/engine/peer-error.ts';

let directory: Promise<string> | undefined;

/** The configuration of ssh, as the engine that does not run `ssh` reads it: paths are absolute, and no command of it is run. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    'Host peer *.example.com\n  HostName real.example.com\n  Port 2222\n  User backup\n  IdentityFile ~/.ssh/id_%h\n  ProxyJump a@b:22,c\n',
    'Match host peer exec "touch /tmp/x"\n  ProxyCommand nc %h %p\nHost *\n  UserKnownHostsFile ~/a ~/b\n  IdentitiesOnly yes\n  IdentityAgent $SOCK\n',
    'Include missing-*\nHost="peer"\nPort=22\nGlobalKnownHostsFile none\nCanonicalizeHostname yes\n',
  ],
  words: ['Host ', 'Match ', 'exec ', 'Include ', 'ProxyJump ', 'ProxyCommand ', '%%', '%h', '~', '"', '!', 'all', 'none', 'Port 0'],
  maxBytes: 2048,
  async run(text) {
    const home = await (directory ??= mkdtemp(join(tmpdir(), 'gantry-fuzz-')));
    const configFile = join(home, 'config');
    await writeFile(configFile, text);
    const question = { host: 'peer', user: undefined, port: undefined, configFile, identityFiles: [], knownHostsFiles: [] };
    try {
      const settings = await readPeerSettings(question, { cwd: '/', env: { HOME: home }, warn: () => undefined });
      const files = [...settings.identityFiles, ...settings.userKnownHostsFiles, ...settings.globalKnownHostsFiles];
      if (files.some((file) => !file.startsWith('/'))) throw new Error('a path that is not absolute');
      if (!(settings.port > 0 && settings.port < 65_536)) throw new Error(`port ${settings.port}`);
    } catch (error) {
      assertRefusal(error, (each) => each instanceof PeerError);
    }
  },
});

export default target;
