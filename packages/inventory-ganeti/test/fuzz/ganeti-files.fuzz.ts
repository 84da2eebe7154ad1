import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InventoryError } from '@gantry/core/inventory';
import type { FuzzTarget } from '@gantry/testkit';
import { assertRefusal, textTarget } from '@gantry/testkit';
import { readPrivateParameters } from '../../src/describe/private-parameters.ts';
import { findCredentials } from '../../src/rapi/credentials.ts';
import { DomainSecret } from '../../src/remote/domain-secret.ts';

const SECRET = 'a-secret-of-the-cluster';

let file: Promise<string> | undefined;

async function makeFile(): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'gantry-fuzz-'));
  const path = join(directory, 'file');
  await writeFile(path, '', { mode: 0o600 });
  return path;
}

/** Files of secrets: credentials of RAPI, the cluster's configuration, the domain secret. No message has a part of them. */
const target: FuzzTarget = textTarget({
  seeds: () => [
    `# ours\nmachine node1 login gantry password ${SECRET}\ndefault login x password ${SECRET}\n`,
    `${SECRET}\n`,
    JSON.stringify({
      cluster: { osparams_private_cluster: { debootstrap: { password: SECRET } } },
      instances: { u: { name: 'web1', os: 'debootstrap+default', osparams_private: { key: SECRET } } },
    }),
  ],
  words: [SECRET, 'machine ', 'login ', 'password ', 'default ', 'osparams_private'],
  oneOf: 2,
  async run(text) {
    const path = await (file ??= makeFile());
    await writeFile(path, text);
    for (const work of [
      () => findCredentials({ host: 'node1', user: undefined, file: path, env: {} }),
      () => DomainSecret.read(path),
      () => readPrivateParameters(path, 'u', {}),
    ]) {
      try {
        await work();
      } catch (error) {
        assertRefusal(error, (each) => each instanceof InventoryError);
        if (error instanceof InventoryError && `${error.message}${error.hint ?? ''}`.includes(SECRET))
          throw new Error('a secret in a message', { cause: error });
      }
    }
  },
});

export default target;
