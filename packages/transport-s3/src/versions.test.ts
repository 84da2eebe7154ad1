import { describe, expect, test } from 'vitest';
import type { Store } from '@gantry/transport';
import { createBucket, s3Request } from '@gantry/testkit';
import { requestsThrough, startLab } from '../test/lab.ts';
import { bytesOf, write } from '../test/objects.ts';
import { openWith } from '../test/open-bucket.ts';

const { ceph, bucket, proxy } = await startLab();

const requests = requestsThrough(proxy);

describe('in a bucket with versions, a store', () => {
  test('renews a lock with one request, and never makes one shorter', async () => {
    const name = 'renewed-bucket';
    await createBucket(ceph, name, { objectLock: true });
    const open = (days: number): Promise<Store> => {
      const address = bucket.address({ objectLockMode: 'GOVERNANCE', objectLockRetainUntil: `${days}d` }, proxy.endpoint);
      address.host = name;
      return openWith(address, ceph);
    };
    await using short = await open(2);
    await using long = await open(20);
    const daysOf = async (): Promise<number> => Math.round(Number(await short.protectedUntil?.('pack')) - Date.now()) / 86_400_000;
    await write(short, 'pack', bytesOf('pack', 1000));
    expect(await daysOf()).toBeCloseTo(2, 1);
    requests();
    await long.protect?.('pack');
    expect(requests().map(({ method, query }) => `${method} ${query.has('retention')}`)).toEqual(['PUT true']);
    expect(await daysOf()).toBeCloseTo(20, 1);
    await short.protect?.('pack');
    expect(await daysOf()).toBeCloseTo(20, 1);
    await expect(short.protect?.('absent')).rejects.toMatchObject({ code: 'not-found' });
    await using none = await bucket.open({}, proxy.endpoint);
    expect('protect' in none && none.protect !== undefined).toBe(false);
  });

  test('lists what was removed on several pages, in order', async () => {
    const name = 'versions-bucket';
    await createBucket(ceph, name, { objectLock: true });
    const address = bucket.address({}, proxy.endpoint);
    address.host = name;
    await using store = await openWith(address, ceph);
    const keys = Array.from({ length: 7 }, (_, index) => `key-${index}`);
    // A page has a thousand versions and markers.
    const puts = Array.from({ length: 1050 }, (_, place) => `/${name}/exports/${keys[place % keys.length] ?? ''}`).values();
    const putAll = async (): Promise<void> => {
      for (const path of puts) expect(await s3Request(ceph, path, { method: 'PUT', body: 'old' })).toMatchObject({ status: 200 });
    };
    await Promise.all(Array.from({ length: 16 }, putAll));
    for (const key of keys) await write(store, key, bytesOf(key, 10), { ifExists: 'replace' });
    await store.remove(keys.slice(0, 6));
    requests();
    const hidden = await Array.fromAsync(store.hidden?.('') ?? []);
    expect(hidden.map(({ key, size }) => `${key} ${size}`)).toEqual(keys.slice(0, 6).map((key) => `${key} 10`));
    expect(requests().length).toBeGreaterThan(1);
    await store.unhide?.(hidden);
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(keys);
  });
});
