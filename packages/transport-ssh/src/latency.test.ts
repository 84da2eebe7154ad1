import { makeTemporaryDirectory, startCutProxy, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { ENGINES, MiB, addressThrough, digestOf, open, put, readDigest } from '../test/helpers.ts';

/*
 * Enough requests are in flight that latency does not set the pace. Delay is added by a proxy rather than by `tc netem`, which not
 * every kernel has. Bounds are wide: the machine that runs the tests may be busy.
 */

const SIZE_MIB = 40;
/** What one request at a time can carry at most, of the largest that a server takes. */
const REQUEST_BYTES = 255 * 1024;

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-latency-'));
const whole = await digestOf(SIZE_MIB);

describe.each(ENGINES)('by %s', (engine) => {
  // Other work on the machine can spoil one try.
  test.each([1, 50])('with %i ms of added delay', { retry: 3 }, async (delayMs) => {
    await using proxy = await startCutProxy(server.port, { delayMs: delayMs / 2 });
    await using store = await open(await addressThrough(proxy, server, directory.file(`${engine}-${delayMs}`), { engine }));
    const seconds = async (work: () => Promise<unknown>): Promise<number> => {
      const before = performance.now();
      await work();
      return (performance.now() - before) / 1000;
    };
    const written = await seconds(() => put(store, 'disk0', SIZE_MIB));
    const read = await seconds(async () => expect(await readDigest(store, 'disk0')).toBe(whole.sha256));
    const oneAtATime = ((SIZE_MIB * MiB) / REQUEST_BYTES) * (delayMs / 1000);
    console.info(
      `${engine}, ${delayMs} ms: written at ${(SIZE_MIB / written).toFixed(0)} MiB/s, read at ${(SIZE_MIB / read).toFixed(0)} MiB/s; one request at a time: ${(SIZE_MIB / oneAtATime).toFixed(0)} MiB/s at most`,
    );
    if (delayMs < 10) return;
    expect(written).toBeLessThan(oneAtATime / 1.5);
    expect(read).toBeLessThan(oneAtATime / 1.5);
  });
});
