import { once } from 'node:events';
import { makeTemporaryDirectory, PATIENTLY, startCutProxy, startSilentServer, startSshServer } from '@gantry/testkit';
import { afterAll, describe, expect, test } from 'vitest';
import { parseAddress } from './address.ts';
import { openEngine } from './open.ts';
import { ENGINES, MiB, addressThrough, failureOf, failureOfOpening, open, pieces, put, readDigest } from '../test/helpers.ts';

/* A peer that falls silent while its connection stays open: only a timeout detects that. */

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-time-'));

describe.each(ENGINES)('by %s', (engine) => {
  /** Less than without the options: 20 s for a connection, 45 s for keep-alive messages. */
  const within = async <T>(seconds: number, work: () => Promise<T>): Promise<T> => {
    const before = performance.now();
    const result = await work();
    expect(performance.now() - before).toBeLessThan(seconds * 1000);
    return result;
  };

  test.concurrent('a peer that never answers', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.path, { engine, connectTimeout: '1' });
    proxy.freezeAfter(0);
    const failure = await within(18, () => failureOfOpening(address));
    expect(failure).toMatchObject({ code: 'unavailable' });
  });

  test.concurrent('a peer that falls silent during the login', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.path, { engine, connectTimeout: '1' });
    proxy.freezeAfter(1200);
    const failure = await within(18, () => failureOfOpening(address));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/1 s|in time|timed out/) });
  });

  test.concurrent.each([
    ['accepts connections and stays silent', '', 'accepts connections, but did not answer'],
    ['sends only its greeting', 'SSH-2.0-Silent\r\n', 'did not finish the key exchange'],
  ])('a peer that %s', async (_what, greeting, said) => {
    await using silent = await startSilentServer(greeting);
    const failure = await failureOfOpening(`ssh://127.0.0.1:${silent.port}/x?engine=${engine}&config=none&connectTimeout=1`);
    expect(failure.code).toBe('unavailable');
    // Either our timeout or that of ssh comes first.
    expect(failure.message).toContain(said);
  });

  test.concurrent('a peer that sends only the start of an SFTP answer', async () => {
    await using half = await startSshServer({ config: ["ForceCommand printf '\\000\\000\\000\\011\\002'; exec sleep 1000"] });
    const failure = await failureOfOpening(half.address('/', { engine, stallTimeout: '1' }));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringContaining('no byte passed for 1 s') });
  });

  test.concurrent('an sshd that freezes during a write', async () => {
    await using frozen = await startSshServer();
    await using store = await open(frozen.address(directory.file(`${engine}-frozen`), { engine, stallTimeout: '3', connectTimeout: '10' }));
    const pending = await store.begin('disk0');
    async function* freezing(): AsyncGenerator<Uint8Array> {
      yield* pieces(1);
      await frozen.freeze();
      yield* pieces(64);
    }
    const failure = await failureOf(pending.append(freezing()));
    expect(failure).toMatchObject({ code: 'unavailable', key: 'disk0', message: expect.stringContaining('no byte passed for 3 s') });
    // The peer cannot remove the unfinished write.
    await pending.discard().catch(() => undefined);
    expect(await failureOf(store.stat('disk0'))).toMatchObject({ code: 'unavailable' });
  });

  test.concurrent('an sshd that opens no further channel', async () => {
    await using frozen = await startSshServer();
    const address = parseAddress(new URL(frozen.address('/', { engine, connectTimeout: '10', keepAlive: '0' })));
    await using connection = await openEngine(address, {
      cwd: '/',
      env: { ...process.env, SSH_AUTH_SOCK: undefined },
      warn: () => undefined,
    });
    await using channel = await connection.openChannel({ command: 'echo here; exec cat' });
    await once(channel.output, 'data');
    await frozen.freeze();
    await expect(connection.openChannel({ command: 'true' })).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('10 s'),
    });
  });

  test.concurrent('a stalled write fails with the byte, and with the time without data', async ({ expect }) => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.file(`${engine}-write`), { engine, stallTimeout: '3' });
    await using store = await open(address);
    const pending = await store.begin('disk0');
    proxy.freezeAfter(2 * MiB);
    const failure = await failureOf(pending.append(pieces(64)));
    expect(failure).toMatchObject({ code: 'unavailable', key: 'disk0' });
    expect(failure.message).toMatch(/writing disk0 in .* at byte \d+: no byte passed for 3 s/);
    proxy.heal();
    await expect.poll(() => proxy.connections, PATIENTLY).toBe(0);
    await pending.discard();
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });

  test.concurrent('a stalled read fails with the byte', async () => {
    const path = directory.file(`${engine}-read`);
    await using proxy = await startCutProxy(server.port);
    await using store = await open(await addressThrough(proxy, server, path, { engine, stallTimeout: '3' }));
    await put(store, 'disk0', 8);
    proxy.freezeAfter(3 * MiB);
    const failure = await failureOf(readDigest(store, 'disk0'));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringMatching(/at byte \d+: no byte passed for 3 s/) });
  });

  test.concurrent('a slow source on this side is not a stall', async () => {
    await using store = await open(server.address(directory.file(`${engine}-slow`), { engine, stallTimeout: '3' }));
    await using pending = await store.begin('disk0');
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield* pieces(1);
      await new Promise((resolve) => setTimeout(resolve, 4000));
      yield* pieces(1);
    }
    await pending.append(slow());
  });

  test.concurrent('unanswered keep-alive messages end an idle connection', async () => {
    await using proxy = await startCutProxy(server.port);
    const address = await addressThrough(proxy, server, directory.file(`${engine}-idle`), { engine, keepAlive: '1', stallTimeout: '600' });
    await using store = await open(address);
    const pending = await store.begin('disk0');
    proxy.freezeAfter(0);
    const failure = await within(40, () => failureOf(pending.append(pieces(1)).then(() => pending.suspend())));
    expect(failure).toMatchObject({ code: 'unavailable', message: expect.stringContaining('keep-alive') });
  });
});
