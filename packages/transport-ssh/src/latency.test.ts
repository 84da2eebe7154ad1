import { createHash } from 'node:crypto';
import { makeTemporaryDirectory, startCutProxy, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, addressThrough, digestOf, open, pieces, put } from '../test/helpers.ts';

/*
 * Latency does not set the pace: many requests are in flight without an answer. A proxy holds the answers back until that many bytes
 * are on their way. A client with fewer requests would wait for an answer, and the proxy for the client, until the test times out.
 */

const SIZE_MIB = 40;
/** Four requests of the largest size that a server accepts. */
const IN_FLIGHT_BYTES = 4 * 255 * 1024;

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-latency-'));
const complete = await digestOf(SIZE_MIB);

describe.each(ENGINES)('by %s', (engine) => {
  test('four requests at least are in flight while an object is written', async () => {
    await using proxy = await startCutProxy(server.port);
    await using store = await open(await addressThrough(proxy, server, directory.file(`${engine}-write`), { engine }));
    await using pending = await store.begin('disk0');
    // From here on nothing is in flight: the first request waits for these bytes.
    const released = proxy.holdAnswersUntil('client', IN_FLIGHT_BYTES);
    await pending.append(pieces(SIZE_MIB));
    await released;
    await pending.commit(complete);
  });

  test('four requests at least are in flight while an object is read', async () => {
    await using proxy = await startCutProxy(server.port);
    await using store = await open(await addressThrough(proxy, server, directory.file(`${engine}-read`), { engine }));
    await put(store, 'disk0', SIZE_MIB);
    await using source = await store.read('disk0');
    const released = proxy.holdAnswersUntil('server', IN_FLIGHT_BYTES);
    const hash = createHash('sha256');
    for await (const chunk of source) hash.update(chunk);
    await released;
    expect(hash.digest('hex')).toBe(complete.sha256);
  });
});
