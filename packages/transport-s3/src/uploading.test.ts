import { describe, expect, test } from 'vitest';
import type { ProxiedRequest } from '@gantry/testkit';
import { createBucket, listUnfinishedUploads, s3Request } from '@gantry/testkit';
import { requestsThrough, startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, digestOf, inPieces, read, write } from '../test/objects.ts';
import { openWith } from '../test/open-bucket.ts';

const { ceph, bucket, proxy } = await startLab();

const requests = requestsThrough(proxy);

function partSizes(seen: readonly ProxiedRequest[]): readonly number[] {
  const parts = seen.filter(({ query }) => query.has('partNumber'));
  const sorted = parts.toSorted((a, b) => Number(a.query.get('partNumber')) - Number(b.query.get('partNumber')));
  return sorted.map(({ headers }) => Number(headers['content-length']));
}

describe('an upload', () => {
  test('has parts of several sizes, and is read back unchanged', async () => {
    // A service with few parts: the sizes must grow as fast as for a disk of terabytes elsewhere.
    await using store = await bucket.open({ firstPartSize: '5MiB', maxParts: '40', maxObjectSize: '2GiB' }, proxy.endpoint);
    const bytes = bytesOf('steps', 170 * MiB + 4711);
    await write(store, 'steps', bytes);
    const sizes = partSizes(requests());
    expect(sizes[0]).toBe(5 * MiB);
    expect(new Set(sizes.slice(0, -1)).size).toBeGreaterThanOrEqual(6);
    expect(sizes.slice(0, -1)).toEqual(sizes.slice(0, -1).toSorted((a, b) => a - b));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(bytes.length);
    expect((await read(store, 'steps')).equals(bytes)).toBe(true);
    await store.remove(['steps']);
  });

  test('has equal parts if the service requires them', async () => {
    await using store = await bucket.open({ partSize: '6MiB' }, proxy.endpoint);
    requests();
    await write(store, 'equal', bytesOf('equal', 20 * MiB));
    expect(partSizes(requests())).toEqual([6 * MiB, 6 * MiB, 6 * MiB, 2 * MiB]);
  });

  test('that fits into one part is one request, with a check before and after', async () => {
    await using store = await bucket.open({}, proxy.endpoint);
    await write(store, 'first', bytesOf('first', 10), { expectedBytes: 10 });
    requests();
    await write(store, 'small', bytesOf('small', 1000), { expectedBytes: 1000 });
    expect(requests().map(({ method, headers }) => [method, headers['if-none-match']])).toEqual([
      ['HEAD', undefined],
      ['PUT', '*'],
      ['HEAD', undefined],
    ]);
  });

  test('that was announced as small may become large', async () => {
    await using store = await bucket.open();
    const bytes = bytesOf('grown', 17 * MiB);
    await write(store, 'grown', bytes, { expectedBytes: 3 });
    expect((await read(store, 'grown')).equals(bytes)).toBe(true);
  });

  test('sends its parts in parallel while its source still writes, and stays within its memory limit', async () => {
    await using store = await bucket.open({ partSize: '5MiB', concurrency: '3' }, proxy.endpoint);
    const isPart = ({ query }: ProxiedRequest): boolean => query.has('partNumber');
    const release = proxy.inject({ when: isPart, fault: { kind: 'stall-request', bytes: 0 } });
    const controller = new AbortController();
    let pulled = 0;
    const allInFlight = Promise.withResolvers<void>();
    let seen = 0;
    void (async () => {
      for (; seen < 3; seen += 1) await proxy.waitFor(isPart);
      allInFlight.resolve();
    })();
    await using pending = await begin(store, 'bounded');
    const endless = (async function* () {
      const chunk = Buffer.alloc(MiB);
      for (;;) {
        pulled += chunk.length;
        yield chunk;
      }
    })();
    const appended = pending.append(endless, { signal: controller.signal });
    appended.catch(() => undefined);
    await allInFlight.promise;
    // Three in flight, one full and waiting, and the chunk that did not fit: then it stops reading.
    for (let turn = 0; turn < 50; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    expect(pulled).toBe(3 * 5 * MiB + 5 * MiB + MiB);
    controller.abort(new Error('enough'));
    await expect(appended).rejects.toThrow('enough');
    release();
  });

  test('asks the service for encryption, tags, storage class and a lock that holds', async () => {
    const name = 'locked-bucket';
    await createBucket(ceph, name, { objectLock: true });
    const address = bucket.address(
      {
        'tag.team': 'ops & co',
        'tag.kind': 'backup',
        storageClass: 'STANDARD',
        objectLockMode: 'GOVERNANCE',
        objectLockRetainUntil: '30d',
      },
      proxy.endpoint,
    );
    address.host = name;
    await using store = await openWith(address, ceph);
    requests();
    await write(store, 'small', bytesOf('small', 1000));
    await write(store, 'large', bytesOf('large', 12 * MiB));
    const writes = requests().filter(({ method, query }) => (method === 'PUT' && !query.has('partNumber')) || query.has('uploads'));
    expect(writes.find(({ path, method }) => path.endsWith('/small') && method === 'PUT')?.headers).not.toHaveProperty(
      'x-amz-storage-class',
    );
    expect(writes.find(({ path }) => path.endsWith('/large'))?.headers).toMatchObject({ 'x-amz-storage-class': 'STANDARD' });
    for (const key of ['small', 'large']) {
      const tags = await s3Request(ceph, `/${name}/exports/${key}?tagging=`);
      expect(tags.body).toContain('<Key>team</Key><Value>ops &amp; co</Value>');
      expect(tags.body).toContain('<Key>kind</Key><Value>backup</Value>');
      const retention = await s3Request(ceph, `/${name}/exports/${key}?retention=`);
      expect(retention.body).toContain('<Mode>GOVERNANCE</Mode>');
      const until = new Date(/<RetainUntilDate>([^<]*?)(\.\d+)?Z</.exec(retention.body)?.[1] ?? '');
      expect(Math.abs(until.getTime() - Date.now() - 30 * 86_400_000)).toBeLessThan(86_400_000);
      expect(Math.abs(Number(await store.protectedUntil?.(key)) - until.getTime())).toBeLessThan(1000);
    }
    await expect(store.protectedUntil?.('absent')).resolves.toBe('unknown');
    // Removal hides the object behind a delete marker; its versions stay until the lock ends.
    expect(await Array.fromAsync(store.hidden?.('') ?? [])).toEqual([]);
    await store.remove(['small', 'large']);
    await store.remove(['small']);
    expect(await Array.fromAsync(store.list(''))).toEqual([]);
    expect((await s3Request(ceph, `/${name}?versions=`)).body).toMatch(/<Version>.*small/s);
    const hidden = await Array.fromAsync(store.hidden?.('') ?? []);
    expect(hidden.map(({ key, size }) => [key, size])).toEqual([
      ['large', 12 * MiB],
      ['small', 1000],
    ]);
    for (const _ of [1, 2]) await store.unhide?.(hidden);
    expect(await Array.fromAsync(store.hidden?.('') ?? [])).toEqual([]);
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['large', 'small']);
    await using body = await store.read('small');
    expect(Buffer.concat(await Array.fromAsync(body)).equals(bytesOf('small', 1000))).toBe(true);
  });

  test('does not ask about the locks of objects in a bucket that has none', async () => {
    await using store = await bucket.open({}, proxy.endpoint);
    await write(store, 'unlocked', bytesOf('unlocked', 10));
    requests();
    for (const _ of [1, 2]) await expect(store.protectedUntil?.('unlocked')).resolves.toBeUndefined();
    expect(requests().map(({ method, query }) => `${method} ${query.has('object-lock')}`)).toEqual(['GET true']);
  });

  test('asks for encryption with the headers of the S3 API', async () => {
    await using store = await bucket.open({ sse: 'aws:kms', sseKmsKeyId: 'some-key' }, proxy.endpoint);
    requests();
    // This gateway has no key service: it must refuse the request, with a clear error.
    await expect(write(store, 'secret', bytesOf('secret', 10), { expectedBytes: 10 })).rejects.toMatchObject({ name: 'StoreError' });
    const put = requests().find(({ method }) => method === 'PUT');
    expect(put?.headers).toMatchObject({
      'x-amz-server-side-encryption': 'aws:kms',
      'x-amz-server-side-encryption-aws-kms-key-id': 'some-key',
    });
  });

  test('fails as soon as it exceeds the largest object', async () => {
    await using store = await bucket.open({ firstPartSize: '5MiB', maxObjectSize: '12MiB' });
    expect(store.capabilities.maxObjectBytes).toBe(12 * MiB);
    {
      await using pending = await begin(store, 'too-large');
      await expect(pending.append(inPieces(bytesOf('x', 13 * MiB)))).rejects.toMatchObject({ code: 'full' });
    }
    expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
  });

  test('with one bit that differs from its digest leaves nothing', async () => {
    await using store = await bucket.open();
    const bytes = bytesOf('bit', 20 * MiB);
    {
      await using pending = await begin(store, 'bit');
      await pending.append(inPieces(bytes));
      bytes.writeUInt8(bytes.readUInt8(12_345_678) ^ 1, 12_345_678);
      await expect(pending.commit(digestOf(bytes))).rejects.toMatchObject({ code: 'integrity' });
    }
    await expect(store.stat('bit')).rejects.toMatchObject({ code: 'not-found' });
    expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
  });
});
