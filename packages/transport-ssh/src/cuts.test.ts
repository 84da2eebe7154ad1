import { readdir } from 'node:fs/promises';
import { makeTemporaryDirectory, PATIENTLY, startCutProxy, startSshServer } from '@gantry/testkit';
import { afterAll, describe, test } from 'vitest';
import { ENGINES, MiB, addressThrough, digestOf, failureOf, open, put, readDigest, runningClients } from '../test/helpers.ts';

/* A connection that is cut at any byte: the error says so, no listing shows a partial object, and nothing is left running. */

const SIZE_MIB = 3;

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-cuts-'));
const complete = await digestOf(SIZE_MIB);

/** Bytes on the wire in both directions: in the greeting, the key exchange, the login, the calls before the data, the data, the commit. */
const CUTS = [
  0,
  1,
  30,
  700,
  1500,
  3000,
  4500,
  6000,
  8000,
  12_000,
  100_000,
  MiB,
  2 * MiB + 77_777,
  SIZE_MIB * MiB + 8000,
  SIZE_MIB * MiB + 16_000,
];

describe.each(ENGINES)('by %s', (engine) => {
  test.concurrent.for(CUTS)('a write that is cut after %i bytes', async (cut, { expect }) => {
    const path = directory.file(`${engine}-${cut}`);
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, path, { engine });
    proxy.cutAfter(cut);
    const failure = await failureOf(
      (async () => {
        await using store = await open(address);
        await put(store, 'disk0', SIZE_MIB);
        // If all that took fewer bytes, the connection is cut now.
        proxy.cutAfter(0);
        await store.stat('disk0');
      })(),
    );
    expect(failure.code, failure.message).toBe('unavailable');
    expect(failure.message).toMatch(/cut|closed|reset|ended/);
    await expect.poll(() => proxy.connections, PATIENTLY).toBe(0);

    await using store = await open(server.address(path, { engine }));
    const visible = await Array.fromAsync(store.list('')).catch(() => []);
    // The response to the commit may have been lost.
    for (const { key } of visible) expect(await readDigest(store, key)).toBe(complete.sha256);
    const left = await Array.fromAsync(store.pending(''));
    await store.clear(left.map(({ token }) => token));
    if (visible.length + left.length > 0) expect(await readdir(path)).toEqual(visible.map(({ key }) => key));
  });

  test.concurrent.for([20_000, 700_000, 2 * MiB])('a read that is cut after %i bytes', async (cut, { expect }) => {
    const path = directory.file(`${engine}-read-${cut}`);
    {
      await using store = await open(server.address(path, { engine }));
      await put(store, 'disk0', SIZE_MIB);
    }
    await using proxy = await startCutProxy(server.port);
    await using store = await open(await addressThrough(proxy, server, path, { engine }));
    proxy.cutAfter(cut);
    const failure = await failureOf(readDigest(store, 'disk0'));
    expect(failure).toMatchObject({ code: 'unavailable', key: 'disk0' });
    expect(failure.message).toMatch(/at byte \d+/);
    proxy.heal();
    expect(await readDigest(store, 'disk0')).toBe(complete.sha256);
  });
});

test('in the end nothing is running here or on the peer', async ({ expect }) => {
  await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
  await expect.poll(runningClients, PATIENTLY).toEqual([]);
});
