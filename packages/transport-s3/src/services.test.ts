import type { FaultProxy, ProxiedRequest, SwiftServer } from '@gantry/testkit';
import { listUnfinishedUploads, s3Request, startFaultProxy, startSwift } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MiB, bytesOf, inPieces, read, write } from '../test/objects.ts';
import type { TestBucket } from '../test/open-bucket.ts';
import { startLab } from '../test/lab.ts';
import { makeBucket } from '../test/open-bucket.ts';

const { ceph, bucket, proxy } = await startLab();

const isPart = ({ query }: ProxiedRequest): boolean => query.has('partNumber');

describe('a service that lists unfinished uploads only for a complete key, as MinIO does', () => {
  /** Ceph, made to behave like that: MinIO itself is not in Debian. */
  const hide = (): (() => void) =>
    proxy.inject({
      when: ({ method, query }) => method === 'GET' && query.has('uploads'),
      fault: ({ query }) => ({
        kind: 'rewrite',
        change: (body) =>
          body.replaceAll(/<Upload>.*?<\/Upload>/gs, (upload) =>
            decodeURIComponent(/<Key>(.*?)<\/Key>/.exec(upload)?.[1] ?? '') === query.get('prefix') ? upload : '',
          ),
      }),
    });

  test('shows and clears them for the keys that the caller knows', async () => {
    const show = hide();
    await using dying = await bucket.open();
    const left = await dying.begin('by_key/disk0.zst');
    await left.append(inPieces(bytesOf('left', 17 * MiB)));
    await using store = await bucket.open({}, proxy.endpoint);
    expect(await Array.fromAsync(store.pending('by_key/'))).toEqual([]);
    const keys = ['by_key/disk0.zst', 'by_key/disk1.zst', 'by_key/disk0.zst', 'elsewhere/disk0.zst', 'by_key/disk0'];
    const found = await Array.fromAsync(store.pending('by_key/', { keys }));
    expect(found).toMatchObject([{ key: 'by_key/disk0.zst', owner: 'unknown' }]);
    await store.clear(
      found.map(({ token }) => token),
      { keys: ['by_key/disk0.zst'] },
    );
    expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
    show();
  });

  test('is not asked again for a key that it has listed', async () => {
    await using dying = await bucket.open();
    await using left = await dying.begin('shown/disk0.zst');
    await left.append(inPieces(bytesOf('shown', 17 * MiB)));
    await using store = await bucket.open({}, proxy.endpoint);
    const before = proxy.seen.length;
    expect(await Array.fromAsync(store.pending('shown/', { keys: ['shown/disk0.zst'] }))).toHaveLength(1);
    expect(proxy.seen.slice(before).filter(({ request }) => request.query.has('uploads'))).toHaveLength(1);
  });
});

describe('a gateway of Ceph', () => {
  test.each([
    ['small', 1000],
    ['large', 17 * MiB + 5],
  ])('encrypts a %s object with a key of its key service, and returns it', async (key, size) => {
    await using store = await bucket.open({ sse: 'aws:kms', sseKmsKeyId: ceph.kmsKeyId });
    const bytes = bytesOf(key, size);
    await write(store, key, bytes, { expectedBytes: size });
    const head = await fetchHead(bucket, `exports/${key}`);
    expect(head).toMatchObject({ 'x-amz-server-side-encryption': 'aws:kms', 'x-amz-server-side-encryption-aws-kms-key-id': ceph.kmsKeyId });
    expect((await read(store, key)).equals(bytes)).toBe(true);
    expect((await read(store, key, { offset: 500, length: 300 })).equals(bytes.subarray(500, 800))).toBe(true);
  });

  test('gets the SHA-256 of parts if their ETags mean nothing, and refuses a damaged part by it', async () => {
    await using store = await bucket.open({ etag: 'opaque' }, proxy.endpoint);
    proxy.inject({ when: isPart, times: 1, fault: { kind: 'flip-request', byte: 4711 } });
    const bytes = bytesOf('opaque', 17 * MiB);
    await write(store, 'opaque', bytes);
    const parts = proxy.seen.filter(({ request }) => isPart(request));
    for (const { request } of parts) expect(request.headers['x-amz-content-sha256']).toMatch(/^[0-9a-f]{64}$/);
    expect(parts.length).toBeGreaterThan(3);
    expect((await read(store, 'opaque')).equals(bytes)).toBe(true);
  });

  test('lists page by page as needed, and removes a thousand objects per request', async () => {
    const put = async (from: number): Promise<void> => {
      for (let index = from; index < 2100; index += 16) {
        const { status } = await s3Request(ceph, `/${bucket.name}/exports/many/${String(index).padStart(5, '0')}`, {
          method: 'PUT',
          body: 'x',
        });
        expect(status).toBe(200);
      }
    };
    await Promise.all(Array.from({ length: 16 }, (_, from) => put(from)));
    await using store = await bucket.open({}, proxy.endpoint);
    const pages = (): number => proxy.seen.filter(({ request }) => request.query.has('list-type')).length;
    const before = pages();
    const keys: string[] = [];
    for await (const { key } of store.list('many/')) {
      keys.push(key);
      expect(pages() - before).toBe(Math.ceil(keys.length / 1000));
    }
    expect(keys).toHaveLength(2100);
    expect(keys).toEqual(keys.toSorted());
    await store.remove(keys);
    expect(proxy.seen.filter(({ request }) => request.query.has('delete'))).toHaveLength(3);
    expect(await Array.fromAsync(store.list('many/'))).toEqual([]);
  });
});

describe('OpenStack Swift', () => {
  let swift: SwiftServer;
  let proxy: FaultProxy;
  let bucket: TestBucket;
  beforeAll(async () => {
    swift = await startSwift();
    proxy = await startFaultProxy(swift.endpoint);
    bucket = await makeBucket(swift);
  });
  afterAll(async () => {
    await proxy[Symbol.asyncDispose]();
    await swift[Symbol.asyncDispose]();
  });

  test('refuses a part that was damaged in transit, which is then sent again', async () => {
    await using store = await bucket.open({}, proxy.endpoint);
    proxy.inject({ when: isPart, times: 2, fault: { kind: 'flip-request', byte: 4711 } });
    const bytes = bytesOf('damaged', 20 * MiB);
    await write(store, 'damaged', bytes);
    expect(proxy.seen.filter(({ fault }) => fault === 'flip-request')).toHaveLength(2);
    expect((await read(store, 'damaged')).equals(bytes)).toBe(true);
    expect(await listUnfinishedUploads(swift, bucket.name)).toEqual([]);
  });

  test('names the right region if the address has another one', async () => {
    await using store = await bucket.open({ region: 'eu-west-9' });
    await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({
      code: 'invalid-address',
      hint: expect.stringContaining('region=us-east-1'),
    });
  });
});

async function fetchHead({ server, name }: TestBucket, key: string): Promise<Readonly<Record<string, string>>> {
  const { status, headers } = await s3Request(server, `/${name}/${key}`, { method: 'HEAD' });
  expect(status).toBe(200);
  return headers;
}
