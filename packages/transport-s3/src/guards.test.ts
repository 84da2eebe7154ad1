import { createHash } from 'node:crypto';
import type { Store } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { MiB, begin, bytesOf, digestOf, inPieces, read, write } from '../test/objects.ts';
import { openAt } from '../test/open-anywhere.ts';
import type { FakeRequest, FakeService } from '../test/fake-service.ts';
import { document, etagOf, refusal, startFakeService } from '../test/fake-service.ts';

/*
 * Answers of a service that must not be trusted. Each of these tests fails without the one guard that it is for.
 */

const SMALL = bytesOf('small', 1000);
const LARGE = bytesOf('large', 11 * MiB);

const open = (service: FakeService, options: Readonly<Record<string, string>> = {}): Promise<Store> =>
  openAt(service.endpoint, { conditionalWrites: 'full', firstPartSize: '5MiB', ...options });

/** The headers with which a correct service would show the object that a PUT wrote. */
function shown(put: FakeRequest | undefined): Record<string, string> {
  if (put === undefined) return {};
  const id = put.headers['x-amz-meta-gantry-write'];
  return { etag: etagOf(put.body), 'content-length': String(put.body.length), 'x-amz-meta-gantry-write': typeof id === 'string' ? id : '' };
}

describe('a written object is checked:', () => {
  /** Writes a small object to a service that shows it afterwards with the headers from `alter`; undefined: as missing. */
  async function writeSmall(alter: (headers: Record<string, string>) => Record<string, string> | undefined): Promise<unknown> {
    let put: FakeRequest | undefined;
    await using service = await startFakeService({
      put: (request) => {
        put = request;
        return { headers: { etag: etagOf(request.body) } };
      },
      head: () => {
        const headers = put === undefined ? undefined : alter(shown(put));
        return headers === undefined ? { status: 404 } : { headers };
      },
    });
    await using store = await open(service);
    return await write(store, 'k', SMALL, { expectedBytes: SMALL.length });
  }

  test('accepted as it was sent', async () => {
    expect(await writeSmall((headers) => headers)).toMatchObject({ key: 'k', size: SMALL.length });
  });

  test('refused with another size, although its ETag is right', async () => {
    await expect(writeSmall((headers) => ({ ...headers, 'content-length': '999' }))).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('has 999 bytes, expected 1000'),
    });
  });

  test('refused with another ETag', async () => {
    await expect(writeSmall((headers) => ({ ...headers, etag: '"another"' }))).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('ETag mismatch: got another'),
    });
  });

  test('refused if it is gone', async () => {
    await expect(writeSmall(() => undefined)).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining('it is not there'),
    });
  });

  test('accepted if another writer has replaced it, who then verifies it', async () => {
    const other = { etag: '"theirs"', 'content-length': '5', 'x-amz-meta-gantry-write': 'theirs' };
    expect(await writeSmall(() => other)).toMatchObject({ key: 'k' });
  });
});

describe('a write', () => {
  test('fails if the answer to a part has no ETag', async () => {
    await using service = await startFakeService({ part: () => ({}) });
    await using store = await open(service);
    await expect(write(store, 'k', LARGE)).rejects.toMatchObject({ code: 'integrity' });
    expect(service.seen.filter(({ kind }) => kind === 'complete')).toEqual([]);
  });

  test('that replaces is sent again if its ETag is not that of the bytes sent', async () => {
    let put: FakeRequest | undefined;
    await using service = await startFakeService({
      put: (request, count) => {
        put = request;
        return { headers: { etag: count === 1 ? '"damaged"' : etagOf(request.body) } };
      },
      head: () => (put === undefined ? { status: 404 } : { headers: shown(put) }),
    });
    await using store = await open(service);
    await write(store, 'k', SMALL, { expectedBytes: SMALL.length, ifExists: 'replace' });
    expect(service.seen.filter(({ kind }) => kind === 'put')).toHaveLength(2);
  });

  test('does not start if its upload gets no id', async () => {
    await using service = await startFakeService({
      start: () => document('<InitiateMultipartUploadResult></InitiateMultipartUploadResult>'),
    });
    await using store = await open(service);
    await expect(begin(store, 'k')).rejects.toMatchObject({ code: 'integrity' });
  });

  test('carries the MD5 sum of each part and of each small object, and the SHA-256 if the ETag means nothing', async () => {
    for (const etag of ['md5', 'opaque']) {
      await using service = await startFakeService({});
      await using store = await open(service, { etag });
      await write(store, 'large', LARGE).catch(() => undefined);
      await write(store, 'small', SMALL, { expectedBytes: SMALL.length }).catch(() => undefined);
      const sent = service.seen.filter(({ kind }) => kind === 'part' || kind === 'put');
      expect(new Set(sent.map(({ kind }) => kind))).toEqual(new Set(['part', 'put']));
      for (const { kind, headers, body } of sent) {
        expect(headers['content-md5']).toBe(createHash('md5').update(body).digest('base64'));
        const sha256 = createHash('sha256').update(body).digest('hex');
        expect(headers['x-amz-content-sha256']).toBe(kind === 'part' && etag === 'md5' ? 'UNSIGNED-PAYLOAD' : sha256);
      }
    }
  });

  test('completes with the parts in order, in any order of their answers', async () => {
    await using service = await startFakeService({});
    await using store = await open(service);
    await write(store, 'k', bytesOf('parts', 40 * MiB)).catch(() => undefined);
    const complete = service.seen.find(({ kind }) => kind === 'complete');
    const numbers = [...String(complete?.body).matchAll(/<PartNumber>(\d+)</g)].map(([, number]) => Number(number));
    expect(numbers.length).toBeGreaterThan(3);
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
  });

  test('that fails because of another object says so, although the service says only that it failed', async () => {
    let puts = 0;
    await using service = await startFakeService({
      put: () => {
        puts += 1;
        return refusal(400, 'InvalidRequest');
      },
      head: () => (puts === 0 ? { status: 404 } : { headers: { etag: '"theirs"', 'x-amz-meta-gantry-write': 'theirs' } }),
    });
    await using store = await open(service);
    await expect(write(store, 'k', SMALL, { expectedBytes: SMALL.length })).rejects.toMatchObject({ code: 'exists' });
    // And the other object is left alone.
    expect(service.seen.filter(({ kind }) => kind === 'delete')).toEqual([]);
  });

  test('that is discarded is aborted again until none of its parts is left', async () => {
    await using service = await startFakeService({
      'list-parts': (_, count) =>
        count === 1
          ? document(
              '<ListPartsResult><IsTruncated>false</IsTruncated><Part><PartNumber>1</PartNumber><Size>7</Size></Part></ListPartsResult>',
            )
          : refusal(404, 'NoSuchUpload'),
    });
    await using store = await open(service);
    const pending = await begin(store, 'k');
    await pending.discard();
    expect(service.seen.filter(({ kind }) => kind === 'abort')).toHaveLength(2);
  });

  test('whose start got no answer aborts what it may have started, and nothing else', async () => {
    const uploads: readonly { readonly key: string; readonly id: string; readonly age: number }[] = [
      { key: 'exports/k', id: 'orphan', age: 0 },
      { key: 'exports/k', id: 'u2', age: 0 },
      { key: 'exports/k', id: 'sibling', age: 0 },
      { key: 'exports/k', id: 'old', age: 3_600_000 },
      { key: 'exports/k2', id: 'longer', age: 0 },
      { key: 'elsewhere/k', id: 'outside', age: 0 },
    ];
    const listed = (): string =>
      uploads
        .map(
          ({ key, id, age }) =>
            `<Upload><Key>${key}</Key><UploadId>${id}</UploadId><Initiated>${new Date(Date.now() - age).toISOString()}</Initiated></Upload>`,
        )
        .join('');
    await using service = await startFakeService({
      start: (_, count) =>
        count === 2
          ? refusal(500, 'InternalError')
          : document(
              `<InitiateMultipartUploadResult><UploadId>${count === 1 ? 'sibling' : 'u2'}</UploadId></InitiateMultipartUploadResult>`,
            ),
      'list-uploads': () =>
        document(
          `<ListMultipartUploadsResult><Bucket>backups</Bucket><IsTruncated>false</IsTruncated>${listed()}</ListMultipartUploadsResult>`,
        ),
    });
    await using store = await open(service);
    const sibling = await begin(store, 'k');
    const pending = await begin(store, 'k');
    await pending.append(inPieces(LARGE));
    // Completing fails, because the service keeps nothing; this test is about the sweep.
    await pending.commit(digestOf(LARGE)).catch(() => undefined);
    await pending.discard();
    const ended = (): readonly (string | null)[] =>
      service.seen.filter(({ kind }) => kind === 'abort').map(({ query }) => query.get('uploadId'));
    expect(new Set(ended())).toEqual(new Set(['u2', 'orphan']));
    await sibling.discard();
  });
});

describe('a listing of uploads', () => {
  test('leaves out names outside the store, and names that are not valid keys', async () => {
    const upload = (key: string): string => `<Upload><Key>${key}</Key><UploadId>u</UploadId></Upload>`;
    await using service = await startFakeService({
      'list-uploads': () =>
        document(
          `<ListMultipartUploadsResult><Bucket>backups</Bucket><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>${upload('elsewhere/k')}${upload('exports/with+space')}${upload('exports/k')}</ListMultipartUploadsResult>`,
        ),
    });
    await using store = await open(service);
    expect((await Array.fromAsync(store.pending(''))).map(({ key }) => key)).toEqual(['k']);
  });
});

describe('a listing of objects', () => {
  test('leaves out names outside the store, and names that are not valid keys', async () => {
    const entry = (key: string): string =>
      `<Contents><Key>${key}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified><Size>1</Size></Contents>`;
    await using service = await startFakeService({
      list: () =>
        document(
          `<ListBucketResult><Name>b</Name><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>${entry('elsewhere/k')}${entry('exports/k')}${entry('exports/with+space')}</ListBucketResult>`,
        ),
    });
    await using store = await open(service);
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['k']);
  });
});

describe('a range', () => {
  const answer = (headers: Record<string, string>, body: string): Promise<FakeService> =>
    startFakeService({ get: () => ({ status: headers['content-range'] === undefined ? 200 : 206, headers, body }) });

  test.each<[string, Record<string, string>, string]>([
    ['that is shorter than it says', { 'content-range': 'bytes 0-9/10', 'content-length': '5' }, '01234'],
    ['that starts elsewhere', { 'content-range': 'bytes 1-9/10', 'content-length': '9' }, '123456789'],
    ['of an object whose size is missing', { 'transfer-encoding': 'chunked' }, '0123456789'],
    ['of an object whose size is not a number', { 'content-range': 'bytes 0-9/*', 'content-length': '10' }, '0123456789'],
  ])('%s is refused', async (_, headers, body) => {
    await using service = await answer(headers, body);
    await using store = await open(service);
    await expect(read(store, 'k')).rejects.toMatchObject({ code: 'unsupported', hint: expect.stringContaining('ranges') });
    expect(service.seen).toHaveLength(1);
  });
});

describe('a removal', () => {
  test('of many objects, one of which stays, says why it stays', async () => {
    await using service = await startFakeService({
      'delete-many': () => document('<DeleteResult><Error><Key>exports/b</Key><Code>AccessDenied</Code></Error></DeleteResult>'),
      delete: () => refusal(403, 'AccessDenied'),
    });
    await using store = await open(service);
    await expect(store.remove(['a', 'b', 'c'])).rejects.toMatchObject({ code: 'denied', key: 'b' });
    expect(service.seen.filter(({ kind }) => kind === 'delete').map(({ key }) => key)).toEqual(['exports/b']);
  });
});

test('a clock that stays wrong fails after some attempts, even if other failures are retried for long', async () => {
  await using service = await startFakeService({
    list: (_, count) =>
      count === 1 ? document('<ListBucketResult><Name>b</Name></ListBucketResult>') : refusal(403, 'RequestTimeTooSkewed'),
  });
  await using store = await open(service, { retrySeconds: '3600' });
  expect(await Array.fromAsync(store.list(''))).toEqual([]);
  await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({ code: 'denied', hint: expect.stringContaining('NTP') });
  expect(service.seen.length).toBe(6);
});
