import { storeConformance } from '@gantry/transport/conformance';
import { makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { afterAll, describe, test } from 'vitest';
import { open } from '../test/helpers.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-store-'));

describe('a directory of a peer is a store', () => {
  const address = server.address(directory.file('store'), { engine: 'openssh' });
  for (const { title, run } of storeConformance(() => open(address))) test(title, run);
});
