import { describe, expect, test } from 'vitest';
import type { PendingObject } from '@gantry/transport';
import type { FakeAnswer, FakeRequest, FakeService } from '../test/fake-service.ts';
import { document, etagOf, refusal, startFakeService } from '../test/fake-service.ts';
import { startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, inPieces, read, write } from '../test/objects.ts';
import { openAt } from '../test/open-anywhere.ts';

const BYTES = bytesOf('range copy', 17 * MiB + 5);

function copyOf(pending: PendingObject, key: string, offset = 0, length = BYTES.length): Promise<number> {
  if (pending.appendRange === undefined) throw new Error('the write cannot copy ranges');
  return pending.appendRange({ key, offset, length });
}

describe('on a gateway of Ceph', async () => {
  const { bucket, proxy } = await startLab();

  test('a long range is copied by the service; only what fills a part that is too small passes', async () => {
    await using store = await bucket.open({ firstPartSize: '5MiB' }, proxy.endpoint);
    await write(store, 'pack', BYTES);
    const head = bytesOf('head', 100);
    const before = proxy.seen.length;
    {
      await using pending = await begin(store, 'new', { digestBy: 'reader' });
      await pending.append(inPieces(head));
      expect(await copyOf(pending, 'pack')).toBe(5 * MiB - head.length);
      expect(await copyOf(pending, 'pack')).toBe(0);
      await pending.commit({ size: head.length + 2 * BYTES.length });
    }
    const parts = proxy.seen.slice(before).filter(({ request: { query, method } }) => query.has('partNumber') && method === 'PUT');
    expect(parts).toHaveLength(3);
    expect((await read(store, 'new')).equals(Buffer.concat([head, BYTES, BYTES]))).toBe(true);
  });

  test('a service that wants equal parts gets them: everything passes', async () => {
    await using store = await bucket.open({ partSize: '5MiB' });
    await write(store, 'equal', BYTES);
    await using pending = await begin(store, 'equal-copy', { digestBy: 'reader' });
    expect(await copyOf(pending, 'equal')).toBe(BYTES.length);
    await pending.commit({ size: BYTES.length });
    expect((await read(store, 'equal-copy')).equals(BYTES)).toBe(true);
  });
});

const isCopy = ({ headers }: FakeRequest): boolean => headers['x-amz-copy-source'] !== undefined;

/** A service with one object, which is not that of the first request once `isReplaced`, and these answers to copies. */
function startWith(copy: (request: FakeRequest) => FakeAnswer, isReplaced: () => boolean = () => false): Promise<FakeService> {
  let isComplete = false;
  const described = (): Record<string, string> => ({
    etag: isReplaced() ? '"another"' : etagOf(BYTES),
    'content-length': String(BYTES.length),
  });
  return startFakeService({
    head: ({ key }) => {
      if (key.endsWith('pack')) return { headers: described() };
      return isComplete ? { headers: { 'content-length': String(BYTES.length) } } : { status: 404 };
    },
    get: ({ headers: { range } }) => {
      const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(String(range)) ?? [];
      const end = Math.min(Number(to) + 1, BYTES.length);
      const length = end - Number(from);
      const place = { 'content-range': `bytes ${from}-${end - 1}/${BYTES.length}`, 'content-length': String(length) };
      return { status: 206, headers: { ...described(), ...place }, body: 'x'.repeat(length) };
    },
    part: (request) => (isCopy(request) ? copy(request) : { headers: { etag: etagOf(request.body) } }),
    complete: () => {
      isComplete = true;
      return document('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>');
    },
  });
}

async function copyAt(service: FakeService): Promise<number> {
  await using store = await openAt(service.endpoint, { conditionalWrites: 'full', firstPartSize: '8MiB' });
  await using pending = await store.begin('new', { digestBy: 'reader' });
  const passed = await copyOf(pending, 'pack');
  await pending.commit({ size: BYTES.length });
  return passed;
}

test.each([
  ['does not know copies of parts', () => refusal(501, 'NotImplemented')],
  ['denies them', () => refusal(403, 'AccessDenied')],
  ['takes them for empty parts', () => ({ headers: { etag: etagOf(Buffer.alloc(0)) } })],
  ['refuses the condition although the object is the same', () => refusal(412, 'PreconditionFailed')],
])('where a service %s, the bytes pass through here, as the same parts', async (_what, copy) => {
  await using service = await startWith(copy);
  expect(await copyAt(service)).toBe(BYTES.length);
  const sent = service.seen.filter((request) => request.kind === 'part' && !isCopy(request));
  expect(new Map(sent.map(({ query, body }) => [query.get('partNumber'), body.length]))).toEqual(
    new Map([
      ['1', 8 * MiB],
      ['2', 8 * MiB],
      ['3', BYTES.length - 16 * MiB],
    ]),
  );
});

test.each([
  [403, 'AccessDenied', 'denied', 'the service denies access'],
  [501, 'NotImplemented', 'unavailable', 'although it copied another one before'],
])('a service that copies one part and refuses the next with %i %s: an error of the store', async (status, name, code, why) => {
  let count = 0;
  await using service = await startWith(() => {
    count += 1;
    return count === 1 ? document(`<CopyPartResult><ETag>${etagOf(BYTES)}</ETag></CopyPartResult>`) : refusal(status, name);
  });
  await using store = await openAt(service.endpoint, { conditionalWrites: 'full', firstPartSize: '8MiB' });
  await using pending = await store.begin('new', { digestBy: 'reader' });
  await copyOf(pending, 'pack');
  const copying = copyOf(pending, 'pack').then(() => pending.commit({ size: 2 * BYTES.length }));
  await expect(copying).rejects.toMatchObject({ name: 'StoreError', code, message: expect.stringContaining(why) });
});

test('an object that is replaced while it is copied is refused', async () => {
  let copied = false;
  await using service = await startWith(
    () => {
      copied = true;
      return refusal(412, 'PreconditionFailed');
    },
    () => copied,
  );
  await expect(copyAt(service)).rejects.toMatchObject({ code: 'integrity', message: expect.stringContaining('was replaced') });
});

test('the source is named with its bucket and prefix, its range and its ETag', async () => {
  await using service = await startWith(() => document(`<CopyPartResult><ETag>${etagOf(BYTES)}</ETag></CopyPartResult>`));
  expect(await copyAt(service)).toBe(0);
  expect(service.seen.filter(isCopy).map(({ headers }) => headers)).toEqual([
    expect.objectContaining({
      'x-amz-copy-source': 'backups/exports/pack',
      'x-amz-copy-source-range': `bytes=0-${BYTES.length - 1}`,
      'x-amz-copy-source-if-match': etagOf(BYTES),
    }),
  ]);
});
