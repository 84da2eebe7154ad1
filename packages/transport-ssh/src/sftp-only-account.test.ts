import { readdir } from 'node:fs/promises';
import { storeConformance } from '@gantry/transport/conformance';
import { makeAccount, makeJail, oneIn, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, failureOf, open, put } from '../test/helpers.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const account = scope.use(await makeAccount());
const jail = scope.use(await makeJail(account));
const server = scope.use(await startSshServer({ user: account.name, jail: jail.path }));

describe.each(ENGINES)('an SFTP-only account in a chroot, by %s', (engine) => {
  const address = server.address('/home/store', { engine });

  test('works: objects are its files', async () => {
    await using store = await open(address);
    await put(store, `${engine}/disk0`, 1);
    expect(await readdir(jail.store, { recursive: true })).toEqual([engine, `${engine}/disk0`]);
    await store.remove([`${engine}/disk0`]);
    expect(await readdir(jail.store)).toEqual([]);
  });

  test('gets an error for what it may not do', async () => {
    await using store = await open(server.address('/store', { engine }));
    expect(await failureOf(store.begin('disk0'))).toMatchObject({ code: 'denied', key: 'disk0' });
  });

  // The engine only brings the bytes of the protocol to the peer and back.
  for (const { title, run } of oneIn(
    engine === 'openssh' ? 1 : 3,
    storeConformance(() => open(address)),
  ))
    test.concurrent(title, run);
});
