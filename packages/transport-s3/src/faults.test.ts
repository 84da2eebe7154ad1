import { createHash } from 'node:crypto';
import { afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import type { Fault, ProxiedRequest } from '@gantry/testkit';
import { listUnfinishedUploads, startCutProxy } from '@gantry/testkit';
import { startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, inPieces, read, write } from '../test/objects.ts';

const { ceph, bucket, proxy } = await startLab();
afterEach(async () => {
  expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
});

const IMPATIENT = { stallSeconds: '1', firstPartSize: '5MiB' } as const;
const BYTES = bytesOf('faults', 21 * MiB + 11);

const isPart = ({ query }: ProxiedRequest): boolean => query.has('partNumber');
const isGet = ({ method, query }: ProxiedRequest): boolean => method === 'GET' && !query.has('list-type') && !query.has('uploads');

const BUSY: Fault = { kind: 'answer', status: 503, code: 'SlowDown' };
const BROKEN: Fault = { kind: 'answer', status: 500, code: 'InternalError' };
const GARBLED: Fault = { kind: 'truncate-response', bytes: 20 };

describe('an upload gets through', () => {
  test.each<[string, Fault, number]>([
    ['a burst of "slow down"', BUSY, 8],
    ['a burst of internal errors', BROKEN, 4],
    ['connections reset in the middle of a part', { kind: 'cut-request', bytes: 2_000_000 }, 3],
    ['a part that stalls', { kind: 'stall-request', bytes: 1_000_000 }, 2],
    ['a bit that flips in transit', { kind: 'flip-request', byte: 3_333_333 }, 2],
    ['answers that get lost', { kind: 'lose-answer' }, 3],
    ['wrong ETags', { kind: 'etag', value: '"d41d8cd98f00b204e9800998ecf8427e"' }, 2],
  ])('%s', async (name, fault, times) => {
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    const key = name.replaceAll(/[^a-z]/g, '_');
    proxy.inject({ when: isPart, times, fault });
    await write(store, key, BYTES);
    expect(proxy.seen.filter((seen) => seen.fault === fault.kind).length).toBeGreaterThanOrEqual(times);
    expect((await read(store, key)).equals(BYTES)).toBe(true);
  });

  test.each<[string, (request: ProxiedRequest) => boolean, Fault]>([
    ['its start: no answer', ({ query }) => query.has('uploads'), { kind: 'lose-answer' }],
    ['its start: half an answer', ({ query, method }) => query.has('uploads') && method === 'POST', GARBLED],
    ['its completion: no answer', ({ query, method }) => query.has('uploadId') && method === 'POST', { kind: 'lose-answer' }],
    ['its completion: an error that says it was done', ({ query, method }) => query.has('uploadId') && method === 'POST', BROKEN],
    ['the check afterwards', ({ method }) => method === 'HEAD', BUSY],
    ['the check afterwards: a wrong ETag', ({ method }) => method === 'HEAD', { kind: 'etag', value: '"another"' }],
    ['its end', ({ method }) => method === 'DELETE', { kind: 'lose-answer' }],
  ])('what goes wrong with %s', async (name, when, fault) => {
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    const key = name.replaceAll(/[^a-z]/g, '_');
    const before = proxy.seen.length;
    proxy.inject({ when, times: 2, fault });
    await write(store, key, BYTES);
    expect(proxy.seen.slice(before).some((seen) => seen.fault === fault.kind)).toBe(true);
    expect((await read(store, key)).equals(BYTES)).toBe(true);
  });

  test('answers that each take longer than stallSeconds: each attempt waits twice as long as the one before', async () => {
    await using slow = await startCutProxy(Number(new URL(ceph.endpoint).port), { delayMs: 600 });
    await using store = await bucket.open({ ...IMPATIENT, conditionalWrites: 'none' }, `http://127.0.0.1:${slow.port}`);
    await expect(store.stat('not_there')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('a clock that is an hour late: the time comes from the service', async () => {
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
    try {
      await write(store, 'late', BYTES.subarray(0, 9 * MiB));
      expect((await read(store, 'late')).equals(BYTES.subarray(0, 9 * MiB))).toBe(true);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('an upload fails and leaves nothing', () => {
  test.each<[string, Fault, object]>([
    [
      'when damage does not end',
      { kind: 'flip-request', byte: 100 },
      { code: 'integrity', message: expect.stringMatching(/BadDigest|XAmzContentSHA256Mismatch/) },
    ],
    ['when ETags are never right', { kind: 'etag', value: '"x"' }, { code: 'integrity', hint: expect.stringContaining('etag=opaque') }],
    ['when the service stays busy', BUSY, { code: 'unavailable', message: expect.stringContaining('SlowDown') }],
    [
      'when the credentials expire',
      { kind: 'answer', status: 400, code: 'ExpiredToken' },
      { code: 'denied', hint: expect.stringContaining('new ones') },
    ],
    ['when access is taken away', { kind: 'answer', status: 403, code: 'AccessDenied' }, { code: 'denied' }],
    ['when another program aborts the upload', { kind: 'answer', status: 404, code: 'NoSuchUpload' }, { code: 'not-found' }],
    ['when the service is full', { kind: 'answer', status: 507, code: 'InsufficientStorage' }, { code: 'full' }],
  ])('%s', async (_, fault, expected) => {
    await using store = await bucket.open({ ...IMPATIENT, retrySeconds: '2' }, proxy.endpoint);
    const end = proxy.inject({ when: isPart, fault });
    await expect(write(store, 'refused', BYTES)).rejects.toMatchObject(expected);
    end();
    await expect(store.stat('refused')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('when its source fails, its signal fires or it is discarded while parts are in flight', async () => {
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    const stop = proxy.inject({ when: isPart, fault: { kind: 'stall-request', bytes: 4_000_000 } });
    for (const how of ['source', 'signal', 'discard']) {
      const seen = proxy.waitFor(isPart);
      const controller = new AbortController();
      const pending = await begin(store, `ended/${how}`);
      const source = (async function* () {
        yield* inPieces(BYTES);
        await seen;
        if (how === 'source') throw new Error('the source failed');
        await new Promise(() => undefined);
      })();
      const appended = pending.append(source, { signal: controller.signal });
      appended.catch(() => undefined);
      await seen;
      if (how === 'signal') controller.abort(new Error('enough'));
      if (how === 'discard') await pending.discard();
      await expect(appended).rejects.toThrow({ source: 'the source failed', signal: 'enough', discard: 'discarded' }[how]);
      await pending[Symbol.asyncDispose]();
      expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
    }
    stop();
  });

  test('when it is cancelled in the middle of its completion: complete or absent, and undone', async () => {
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    const completes = ({ query, method }: ProxiedRequest): boolean => query.has('uploadId') && method === 'POST';
    for (const fault of [{ kind: 'lose-answer' }, { kind: 'stall-response', bytes: 0 }] as const) {
      const controller = new AbortController();
      proxy.inject({ when: completes, times: 1, fault });
      const seen = proxy.waitFor(completes);
      {
        await using pending = await begin(store, 'cancelled');
        await pending.append(inPieces(BYTES));
        const digest = { size: BYTES.length, sha256: createHash('sha256').update(BYTES).digest('hex') };
        const committed = pending.commit(digest, { signal: controller.signal });
        committed.catch(() => undefined);
        await seen;
        controller.abort(new Error('enough'));
        await expect(committed).rejects.toThrow('enough');
      }
      await expect(store.stat('cancelled')).rejects.toMatchObject({ code: 'not-found' });
    }
  });
});

describe('a read gets through', () => {
  beforeAll(async () => {
    await using store = await bucket.open();
    await write(store, 'there', BYTES);
  });

  test.each<[string, Fault, number]>([
    ['a burst of "slow down"', BUSY, 6],
    ['bodies that are cut', { kind: 'cut-response', bytes: 3_000_000 }, 3],
    ['bodies that end early', { kind: 'truncate-response', bytes: 5_000_000 }, 3],
    ['bodies that stall', { kind: 'stall-response', bytes: 1_000_000 }, 2],
    ['answers that get lost', { kind: 'lose-answer' }, 2],
  ])('%s, and goes on where it was', async (_, fault, times) => {
    await using store = await bucket.open(IMPATIENT, proxy.endpoint);
    proxy.inject({ when: isGet, times, fault });
    const before = proxy.seen.length;
    expect((await read(store, 'there')).equals(BYTES)).toBe(true);
    expect((await read(store, 'there', { offset: 77, length: 10 * MiB })).equals(BYTES.subarray(77, 77 + 10 * MiB))).toBe(true);
    const asked = proxy.seen.slice(before).filter(({ request }) => isGet(request));
    expect(asked.filter((seen) => seen.fault === fault.kind)).toHaveLength(times);
    if (fault.kind !== 'cut-response' && fault.kind !== 'truncate-response') return;
    // None but the missing bytes were asked for again.
    const starts = asked.map(({ request }) => Number(/bytes=(\d+)-/.exec(String(request.headers['range']))?.[1]));
    expect(starts.some((start) => start % (8 * MiB) !== 0 && (start - 77) % (8 * MiB) !== 0)).toBe(true);
  });

  test('but not for ever', async () => {
    await using store = await bucket.open({ ...IMPATIENT, retrySeconds: '1' }, proxy.endpoint);
    const end = proxy.inject({ when: isGet, fault: { kind: 'truncate-response', bytes: 0 } });
    await expect(read(store, 'there')).rejects.toMatchObject({ code: 'unavailable' });
    end();
  });
});

describe('with all faults on at once', () => {
  /** The same sequence of numbers from 0 to 1 in each run. */
  function dice(seed: string): () => number {
    let state = createHash('sha256').update(seed).digest();
    return () => {
      state = createHash('sha256').update(state).digest();
      return state.readUInt32LE() / 2 ** 32;
    };
  }

  test.each(['one', 'two', 'three'])('objects come back equal, and nothing is left (%s)', async (seed) => {
    const roll = dice(seed);
    const anything = ({ method }: ProxiedRequest): Fault | undefined => {
      const upTo = Math.floor(roll() * 6 * MiB);
      const faults: readonly Fault[] = [
        BUSY,
        BROKEN,
        { kind: 'cut-request', bytes: upTo },
        { kind: 'stall-request', bytes: upTo },
        { kind: 'flip-request', byte: upTo },
        { kind: 'lose-answer' },
        { kind: 'cut-response', bytes: upTo },
        { kind: 'stall-response', bytes: upTo },
        { kind: 'truncate-response', bytes: upTo },
        // The answer to a HEAD has no document to say it in.
        ...(method === 'HEAD' ? [] : ([{ kind: 'answer', status: 403, code: 'RequestTimeTooSkewed' }] as const)),
      ];
      return roll() < 0.3 ? faults[Math.floor(roll() * faults.length)] : undefined;
    };
    const end = proxy.inject({ when: () => true, fault: anything });
    {
      await using store = await bucket.open(IMPATIENT, proxy.endpoint);
      const objects = [BYTES, bytesOf(seed, 30_000), bytesOf(`${seed}2`, 12 * MiB), Buffer.alloc(0)];
      await Promise.all(objects.map((bytes, index) => write(store, `${seed}/${index}`, bytes)));
      await Promise.all(
        objects.map(async (bytes, index) => {
          expect((await read(store, `${seed}/${index}`)).equals(bytes)).toBe(true);
        }),
      );
      expect((await Array.fromAsync(store.list(`${seed}/`))).map(({ size }) => size)).toEqual(objects.map((bytes) => bytes.length));
      await store.remove(objects.map((_, index) => `${seed}/${index}`));
      expect(await Array.fromAsync(store.list(`${seed}/`))).toEqual([]);
    }
    end();
  });
});
