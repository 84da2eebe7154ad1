import process from 'node:process';
import { storeConformance } from '@gantry/transport/conformance';
import { makeTemporaryDirectory, startSshServer } from '@gantry/testkit';
import { afterAll, describe, test } from 'vitest';
import { openSshStore } from './open.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-store-'));

describe.each(['openssh', 'ssh2'])('a directory of a peer is a store, by %s', (engine) => {
  const address = new URL(server.address(directory.file(engine), { engine }));
  const open = () => openSshStore(address, { cwd: '/', env: process.env, warn: (message) => console.warn(message) });
  for (const { title, run } of storeConformance(open)) test(title, run);
});
