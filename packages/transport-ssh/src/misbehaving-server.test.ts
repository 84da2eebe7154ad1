import { describe, expect, test } from 'vitest';
import { failureOf } from '../test/helpers.ts';
import { DIRECTORY_FIELDS, playedServer } from '../test/played-server.ts';
import type { PlayedAnswer, PlayedRequest } from '../test/played-server.ts';
import { parseAddress } from './address.ts';
import { PACKET } from './sftp/protocol.ts';
import { SshStore } from './ssh-store.ts';

/* A server that sends endless or partial answers: every wait ends, and memory is bounded. */

function storeOf(play: (request: PlayedRequest) => PlayedAnswer | 'usual', stallTimeout = 1): SshStore {
  return new SshStore(playedServer(play), parseAddress(new URL(`ssh://peer/store?stallTimeout=${stallTimeout}`)), () => undefined);
}

describe('a directory with endless names', () => {
  /** A thousand different names in each answer. */
  function endless(): (request: PlayedRequest) => PlayedAnswer | 'usual' {
    let count = 0;
    return ({ type }) => {
      if (type !== PACKET.readdir) return 'usual';
      const names = Array.from({ length: 1000 }, () => [`name-${(count += 1)}`, '', ...DIRECTORY_FIELDS]);
      return [PACKET.name, names.length, ...names.flat()];
    };
  }

  test.each([
    ['listing', (store: SshStore) => Array.fromAsync(store.list(''))],
    ['looking for unfinished writes', (store: SshStore) => Array.fromAsync(store.pending(''))],
    ['clearing up', (store: SshStore) => store.clear([])],
  ])('%s fails with an error that says so, with bounded memory', async (_title, call) => {
    await using store = storeOf(endless(), 60);
    const before = process.memoryUsage().heapUsed;
    const failure = await failureOf(call(store));
    expect(failure).toMatchObject({ code: 'unsupported', message: expect.stringContaining('has more than 250,000 entries') });
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(400 * 1024 * 1024);
  });
});

describe('a server that does not answer', () => {
  test.each([
    ['any request', () => undefined],
    ['the first lstat', (type: number) => (type === PACKET.lstat ? undefined : 'usual')],
  ] as const)('%s: the wait ends after stallTimeout', async (_title, answer) => {
    await using store = storeOf(({ type }) => (type === PACKET.realpath ? 'usual' : answer(type)));
    expect(await failureOf(store.stat('a'))).toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('no byte passed for 1 s'),
    });
  });

  test('one request, but answers later ones: the wait ends too', async () => {
    let left: number | undefined;
    await using store = storeOf(({ type, id }) => {
      if (type !== PACKET.lstat) return 'usual';
      left ??= id;
      return left === id ? undefined : 'usual';
    });
    const waiting = failureOf(store.stat('a'));
    let others = 0;
    const ended = waiting.then(() => true);
    // Until the wait ends, other requests are answered.
    while (!(await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 50, false))]))) {
      await store.stat('b').catch(() => undefined);
      others += 1;
    }
    expect(others).toBeGreaterThan(0);
    expect(await waiting).toMatchObject({ code: 'unavailable', message: expect.stringContaining('left a request unanswered') });
  });
});
