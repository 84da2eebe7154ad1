import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { ProxiedRequest } from '@gantry/testkit';
import { listUnfinishedUploads, s3Request } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, digestOf, inPieces, read, write } from '../test/objects.ts';
import { makeBucket } from '../test/open-bucket.ts';

const { ceph, bucket, proxy } = await startLab();

const LARGE = 12 * MiB;

/** The objects of the bucket that do not belong to a store. */
async function marks(): Promise<readonly string[]> {
  const { body } = await s3Request(ceph, `/${bucket.name}?list-type=2&prefix=exports%2F.gantry`);
  return [...body.matchAll(/<Key>(.*?)<\/Key>/g)].map((match) => match[1] ?? '');
}

function markPath(key: string): string {
  return `/${bucket.name}/exports/.gantry-commit/${createHash('sha256').update(key).digest('hex')}`;
}

describe('creating only', () => {
  test.each([
    ['small', 5000],
    ['large', LARGE],
  ])('lets one of many writers of a key win, of %s objects too', async (name, size) => {
    const stores = await Promise.all(Array.from({ length: 5 }, () => bucket.open()));
    const contents = stores.map((_, index) => bytesOf(`${name} ${index}`, size));
    // All have started before the first one commits: no early check can tell them apart.
    const writes = await Promise.all(stores.map((store) => begin(store, `race/${name}`)));
    await Promise.all(writes.map((pending, index) => pending.append(inPieces(contents[index] ?? Buffer.alloc(0)))));
    const results = await Promise.allSettled(writes.map((pending, index) => pending.commit(digestOf(contents[index] ?? Buffer.alloc(0)))));
    await Promise.all(writes.map((pending) => pending[Symbol.asyncDispose]()));
    const winners = results.flatMap((result, index) => (result.status === 'fulfilled' ? [index] : []));
    expect(winners).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect(isStoreError(result.reason, 'exists')).toBe(true);
    const [first] = stores;
    if (first === undefined) throw new Error('no store');
    expect((await read(first, `race/${name}`)).equals(contents[winners[0] ?? -1] ?? Buffer.alloc(0))).toBe(true);
    expect(await listUnfinishedUploads(ceph, bucket.name)).toEqual([]);
    expect(await marks()).toEqual([]);
    for (const store of stores) await store[Symbol.asyncDispose]();
  });

  test.each([
    ['small', 5000],
    ['large', LARGE],
  ])('recognizes its own object if the answer to its commit was lost: %s', async (name, size) => {
    await using store = await bucket.open({}, proxy.endpoint);
    const bytes = bytesOf(name, size);
    const commits = ({ method, query, path }: ProxiedRequest): boolean =>
      path.endsWith(`lost/${name}`) && (query.has('uploadId') ? method === 'POST' : method === 'PUT');
    proxy.inject({ when: commits, times: 1, fault: { kind: 'lose-answer' } });
    await write(store, `lost/${name}`, bytes);
    expect(proxy.seen.filter(({ request, fault }) => fault === 'lose-answer' && commits(request))).toHaveLength(1);
    expect((await read(store, `lost/${name}`)).equals(bytes)).toBe(true);
  });

  test('fails if the service accepts the condition and ignores it', async () => {
    await using store = await bucket.open({}, proxy.endpoint);
    let puts = 0;
    proxy.inject({
      when: ({ method, path }) => method === 'PUT' && path.endsWith('/ignored'),
      // The second one should be refused, but is not.
      fault: () => (++puts === 2 ? { kind: 'answer', status: 200, code: '' } : undefined),
    });
    await expect(write(store, 'ignored', bytesOf('a', 10))).rejects.toMatchObject({
      code: 'unsupported',
      hint: expect.stringContaining('conditionalWrites=none'),
    });
    await expect(store.stat('ignored')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('is not offered if a gateway of Ceph keeps versions: then it ignores the condition', async () => {
    const versioned = await makeBucket(ceph);
    const body =
      '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>';
    expect((await s3Request(ceph, `/${versioned.name}?versioning=`, { method: 'PUT', body })).status).toBe(200);
    await using store = await versioned.open();
    expect(store.capabilities.createOnly).toBe(false);
    await write(store, 'a', bytesOf('a', 10));
    await write(store, 'a', bytesOf('b', 10), { ifExists: 'replace' });
    expect((await read(store, 'a')).equals(bytesOf('b', 10))).toBe(true);
    await store.remove(['a']);
    await expect(store.stat('a')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('is refused, and not offered, if the address says so', async () => {
    await using store = await bucket.open({ conditionalWrites: 'none' });
    expect(store.capabilities.createOnly).toBe(false);
    await expect(store.begin('x', { ifExists: 'fail' })).rejects.toMatchObject({ code: 'unsupported' });
  });
});

describe('a mark of a writer that was killed', () => {
  /** Like the mark of a writer that was killed just before it completed. */
  async function leaveMark(key: string, uploadId: string): Promise<void> {
    const answer = await s3Request(ceph, markPath(key), { method: 'PUT', body: JSON.stringify({ key, uploadId }) });
    expect(answer.status).toBe(200);
  }

  async function leaveUpload(key: string): Promise<string> {
    const { body } = await s3Request(ceph, `/${bucket.name}/exports/${key}?uploads=`, { method: 'POST' });
    return /<UploadId>(.*?)<\/UploadId>/.exec(body)?.[1] ?? '';
  }

  async function pendingOf(store: Store, key: string): Promise<readonly { readonly token: string; readonly owner: string }[]> {
    return (await Array.fromAsync(store.pending(''))).filter((info) => info.key === key);
  }

  test('blocks others until its unfinished write is cleared', async () => {
    await using store = await bucket.open();
    await leaveMark('held', await leaveUpload('held'));
    await expect(write(store, 'held', bytesOf('held', LARGE))).rejects.toMatchObject({
      code: 'exists',
      hint: expect.stringContaining('clear'),
    });
    const left = await pendingOf(store, 'held');
    expect(left).toHaveLength(1);
    await store.clear(left.map(({ token }) => token));
    await write(store, 'held', bytesOf('held', LARGE));
    expect(await marks()).toEqual([]);
  });

  test('is taken over when its upload is gone', async () => {
    await using store = await bucket.open();
    await leaveMark('orphaned', '2~there-is-no-such-upload');
    await write(store, 'orphaned', bytesOf('orphaned', LARGE));
    expect(await marks()).toEqual([]);
  });

  test('is listed and cleared like any unfinished write', async () => {
    await using store = await bucket.open();
    await leaveMark('finished', '2~there-is-no-such-upload');
    const left = await pendingOf(store, 'finished');
    expect(left).toMatchObject([{ owner: 'dead' }]);
    await store.clear(left.map(({ token }) => token));
    expect(await marks()).toEqual([]);
    expect(await pendingOf(store, 'finished')).toEqual([]);
  });
});
