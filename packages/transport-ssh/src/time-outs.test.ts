import { makeTemporaryDirectory, startCutProxy, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test, vi } from 'vitest';
import { ENGINES, MiB, addressThrough, failureOf, failureOfOpening, open, pieces, put, readDigest } from '../test/helpers.ts';

/* A peer that falls silent, while its connection stays: nobody says so, and only the clock tells. */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-time-'));

describe.each(ENGINES)('by %s', (engine) => {
  const within = async <T>(seconds: number, work: () => Promise<T>): Promise<T> => {
    const before = performance.now();
    const result = await work();
    expect(performance.now() - before).toBeLessThan(seconds * 1000);
    return result;
  };

  test.concurrent('a peer that does not answer from the beginning', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.path, { engine, connectTimeout: '1' });
    proxy.freezeAfter(0);
    const failure = await within(5, () => failureOfOpening(address));
    expect(failure).toMatchObject({ code: 'unavailable' });
  });

  test.concurrent('a peer that falls silent while it lets us in', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.path, { engine, connectTimeout: '1' });
    proxy.freezeAfter(1200);
    const failure = await within(5, () => failureOfOpening(address));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/1 s|in time|timed out/) });
  });

  test.concurrent('a write that stalls says at which byte, and how long nothing passed', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.file(`${engine}-write`), { engine, stallTimeout: '1' });
    await using store = await open(address);
    const pending = await store.begin('disk0');
    proxy.freezeAfter(2 * MiB);
    const failure = await within(5, () => failureOf(pending.append(pieces(64))));
    expect(failure).toMatchObject({ code: 'unavailable', key: 'disk0' });
    expect(failure.message).toMatch(/writing disk0 in .* at byte \d+: no byte passed for 1 s/);
    proxy.heal();
    await vi.waitFor(() => expect(proxy.connections).toBe(0));
    await pending.discard();
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });

  test.concurrent('a read that stalls says at which byte', async () => {
    const path = directory.file(`${engine}-read`);
    await using proxy = await startCutProxy(server.port);
    await using store = await open(await addressThrough(proxy, server, path, { engine, stallTimeout: '1' }));
    await put(store, 'disk0', 8);
    proxy.freezeAfter(3 * MiB);
    const failure = await within(5, () => failureOf(readDigest(store, 'disk0')));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/at byte \d+: no byte passed for 1 s/) });
  });

  test.concurrent('one who takes his time on this side is no stall', async () => {
    await using store = await open(server.address(directory.file(`${engine}-slow`), { engine, stallTimeout: '1' }));
    await using pending = await store.begin('disk0');
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield* pieces(1);
      await new Promise((resolve) => setTimeout(resolve, 1500));
      yield* pieces(1);
    }
    await pending.append(slow());
  });

  test.concurrent('keep-alive messages that nobody answers end an idle connection', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.file(`${engine}-idle`), { engine, keepAlive: '1', stallTimeout: '600' });
    await using store = await open(address);
    const pending = await store.begin('disk0');
    proxy.freezeAfter(0);
    const failure = await within(15, () => failureOf(pending.append(pieces(1)).then(() => pending.suspend())));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringContaining('keep-alive') });
  });
});
