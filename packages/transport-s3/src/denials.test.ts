import { createHash } from 'node:crypto';
import { createBucket, listUnfinishedUploads, s3Request } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { openS3Store } from './open-s3-store.ts';
import { startLab } from '../test/lab.ts';
import { MiB, begin, bytesOf, inPieces, read, write } from '../test/objects.ts';

const { ceph, bucket, proxy } = await startLab();

const LARGE = bytesOf('denials', 12 * MiB);

interface Denied {
  readonly name: string;
  readonly store: Store;
  readonly warnings: readonly string[];
}

let count = 0;
/** Our bucket with an object `there`, and a store of another user, who may do everything in it except the denied actions. */
async function deny(...actions: readonly string[]): Promise<Denied> {
  const name = `denials-${++count}`;
  const user = await ceph.createUser(name);
  await createBucket(ceph, name);
  const there = await s3Request(ceph, `/${name}/exports/there`, { method: 'PUT', body: 'there' });
  expect(there.status).toBe(200);
  const everything = { Principal: { AWS: [`arn:aws:iam:::user/${name}`] }, Resource: [`arn:aws:s3:::${name}`, `arn:aws:s3:::${name}/*`] };
  const Statement = [
    { Effect: 'Allow', Action: ['s3:*'], ...everything },
    { Effect: 'Deny', Action: actions, ...everything },
  ];
  const answer = await s3Request(ceph, `/${name}?policy=`, { method: 'PUT', body: JSON.stringify({ Version: '2012-10-17', Statement }) });
  expect(answer.status, answer.body).toBe(204);
  const address = bucket.address({ firstPartSize: '5MiB' });
  address.host = name;
  const warnings: string[] = [];
  const store = await openS3Store(address, {
    cwd: '/',
    env: { AWS_ACCESS_KEY_ID: user.accessKeyId, AWS_SECRET_ACCESS_KEY: user.secretAccessKey },
    warn: (message) => warnings.push(message),
  });
  return { name, store, warnings };
}

const DENIED = { code: 'denied', message: expect.stringMatching(/denie[sd]/), hint: expect.stringMatching(/polic/) };

describe('access that is denied for', () => {
  test('writing: fails at once, and leaves nothing', async () => {
    const { name, store } = await deny('s3:PutObject');
    await using _ = store;
    await expect(write(store, 'small', LARGE.subarray(0, 100), { expectedBytes: 100 })).rejects.toMatchObject(DENIED);
    await expect(write(store, 'large', LARGE)).rejects.toMatchObject(DENIED);
    expect(await listUnfinishedUploads(ceph, name)).toEqual([]);
    expect(await Array.fromAsync(store.list(''))).toMatchObject([{ key: 'there' }]);
  });

  test('reading: fails before the first byte; writing still works, without a check afterwards', async () => {
    const { store } = await deny('s3:GetObject');
    await using _ = store;
    await expect(read(store, 'there')).rejects.toMatchObject(DENIED);
    await expect(store.stat('there')).rejects.toMatchObject(DENIED);
    await write(store, 'small', LARGE.subarray(0, 100), { expectedBytes: 100 });
    await write(store, 'large', LARGE);
    // Never replaces an object that it may not see: the service refuses, or Gantry does if the service has no condition for it.
    await expect(write(store, 'there', LARGE.subarray(0, 100), { expectedBytes: 100 })).rejects.toMatchObject({ code: 'exists' });
    await expect(write(store, 'there', LARGE)).rejects.toMatchObject({ code: 'denied', hint: expect.stringContaining('s3:GetObject') });
    expect((await Array.fromAsync(store.list(''))).map(({ key }) => key)).toEqual(['large', 'small', 'there']);
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });

  test('listing: never looks like an empty store', async () => {
    const { store } = await deny('s3:ListBucket');
    await using _ = store;
    await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject(DENIED);
  });

  test('removing: the object stays, and the error says so', async () => {
    const { store } = await deny('s3:DeleteObject');
    await using _ = store;
    await expect(store.remove(['there'])).rejects.toMatchObject(DENIED);
    await expect(store.remove(['there', 'not-there'])).rejects.toMatchObject(DENIED);
    expect((await read(store, 'there')).toString()).toBe('there');
  });

  test('listing unfinished uploads: never looks like an empty list', async () => {
    const { store } = await deny('s3:ListBucketMultipartUploads');
    await using _ = store;
    await expect(Array.fromAsync(store.pending(''))).rejects.toMatchObject(DENIED);
    await write(store, 'large', LARGE);
  });

  test('aborting uploads: a warning names what is left', async () => {
    const { name, store, warnings } = await deny('s3:AbortMultipartUpload');
    await using _ = store;
    {
      await using pending = await begin(store, 'large');
      await pending.append(inPieces(LARGE));
    }
    expect(warnings).toEqual([
      expect.stringMatching(new RegExp(`cannot clean up after writing s3://${name}/exports/large: .*denies access`)),
    ]);
    expect(await listUnfinishedUploads(ceph, name)).toEqual(['exports/large']);
    await s3Request(ceph, `/${name}?policy=`, { method: 'DELETE' });
  });
});

describe('a store that is opened for reading', () => {
  test('reads, lists and clears, and never sends a write', async () => {
    {
      await using store = await bucket.open();
      await write(store, 'reading/there', LARGE);
    }
    const before = proxy.seen.length;
    await using store = await openS3Store(bucket.address({}, proxy.endpoint), {
      cwd: '/',
      env: { AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey },
      access: 'read',
      warn: () => undefined,
    });
    expect((await read(store, 'reading/there')).equals(LARGE)).toBe(true);
    expect((await store.stat('reading/there')).size).toBe(LARGE.length);
    expect(await Array.fromAsync(store.list('reading/'))).toHaveLength(1);
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
    const methods = new Set(proxy.seen.slice(before).map(({ request }) => request.method));
    expect(methods).toEqual(new Set(['GET', 'HEAD']));
    expect(store.capabilities.createOnly).toBe(false);
    for (const ifExists of ['fail', 'replace'] as const) {
      await expect(store.begin('reading/more', { ifExists })).rejects.toMatchObject({
        code: 'unsupported',
        message: expect.stringContaining('opened for reading only'),
      });
    }
    await store.remove(['reading/there']);
    await expect(store.stat('reading/there')).rejects.toMatchObject({ code: 'not-found' });
  });

  test('finds and clears the mark of a writer that was killed while it completed', async () => {
    const key = createHash('sha256').update('marked').digest('hex');
    const body = JSON.stringify({ key: 'marked', uploadId: '2~gone' });
    await s3Request(ceph, `/${bucket.name}/exports/.gantry-commit/${key}`, { method: 'PUT', body });
    await using store = await openS3Store(bucket.address(), {
      cwd: '/',
      env: { AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey },
      access: 'read',
      warn: () => undefined,
    });
    const left = await Array.fromAsync(store.pending(''));
    expect(left).toMatchObject([{ key: 'marked', owner: 'dead' }]);
    await store.clear(left.map(({ token }) => token));
    expect(await Array.fromAsync(store.pending(''))).toEqual([]);
  });
});

describe('a user who may only add', () => {
  test('creates a small object once, such as the marker of a store, then gets "exists"; what it may not see stays unchanged', async () => {
    const { name, store } = await deny('s3:GetObject', 's3:ListBucket', 's3:DeleteObject', 's3:ListBucketMultipartUploads');
    await using _ = store;
    expect(store.capabilities.createOnly).toBe(true);
    const marker = Buffer.from('{"format":"gantry-store"}');
    await write(store, 'gantry-store.json', marker, { expectedBytes: marker.length });
    const other = Buffer.from('{"format":"another"}');
    await expect(write(store, 'gantry-store.json', other, { expectedBytes: other.length })).rejects.toMatchObject({ code: 'exists' });
    // Without the policy, its writer may read it: it is the first one.
    await s3Request(ceph, `/${name}?policy=`, { method: 'DELETE' });
    expect((await read(store, 'gantry-store.json')).toString()).toBe(marker.toString());
  });
});
