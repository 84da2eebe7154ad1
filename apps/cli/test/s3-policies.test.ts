import { randomBytes } from 'node:crypto';
import type { CephServer, FaultProxy, ProxiedRequest } from '@gantry/testkit';
import {
  createBucket,
  listUnfinishedUploads,
  makeRandomFile,
  makeSparseFile,
  s3Request,
  startCeph,
  startFaultProxy,
} from '@gantry/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { documented, grantRights, keysOf } from './s3-rights.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

let ceph: CephServer;
let proxy: FaultProxy;
beforeAll(async () => {
  ceph = await startCeph();
  proxy = await startFaultProxy(ceph.endpoint);
});
afterAll(async () => {
  await proxy[Symbol.asyncDispose]();
  await ceph[Symbol.asyncDispose]();
});

/** Which right a request needs ("Actions, resources, and condition keys for Amazon S3" in Amazon's service authorization reference). */
function rightFor({ method, query }: ProxiedRequest): string {
  if (query.has('versioning')) return 's3:GetBucketVersioning';
  if (query.has('versions')) return 's3:ListBucketVersions';
  if (query.has('versionId')) return 's3:DeleteObjectVersion';
  if (query.has('retention')) return method === 'GET' ? 's3:GetObjectRetention' : 's3:PutObjectRetention';
  if (query.has('uploads')) return method === 'GET' ? 's3:ListBucketMultipartUploads' : 's3:PutObject';
  if (query.has('list-type')) return 's3:ListBucket';
  if (query.has('delete')) return 's3:DeleteObject';
  if (query.has('uploadId')) {
    return { GET: 's3:ListMultipartUploadParts', DELETE: 's3:AbortMultipartUpload' }[method] ?? 's3:PutObject';
  }
  return { GET: 's3:GetObject', HEAD: 's3:GetObject', DELETE: 's3:DeleteObject' }[method] ?? 's3:PutObject';
}

interface Fixture extends AsyncDisposable {
  /** A workbench with the credentials of the bucket's owner. */
  readonly owner: Workbench;
  /** A workbench with the credentials of a user that has the documented rights only. */
  readonly user: Workbench;
  readonly bucket: string;
  readonly store: string;
  readonly source: string;
  /** The rights that the user's requests needed since the last call, except those that may be denied when a store is opened. */
  readonly used: () => readonly string[];
}

/** A bucket of ours, in which a new user has the documented rights of that name. */
async function makeFixture(name: string, options: { readonly objectLock?: boolean } = {}): Promise<Fixture> {
  const bucket = `bucket-${randomBytes(6).toString('hex')}`;
  await createBucket(ceph, bucket, options);
  const [credentials = ceph] = await grantRights(ceph, bucket, [name]);
  const [owner, user] = [await makeWorkbench(keysOf(ceph)), await makeWorkbench(keysOf(credentials))];
  await makeRandomFile(owner.file('disk.img'), 12 * MIB, name);
  let reported = proxy.seen.length;
  return {
    owner,
    user,
    bucket,
    store: `s3://${bucket}/exports?${new URLSearchParams({ endpoint: proxy.endpoint, firstPartSize: '5MiB' }).toString()}`,
    source: await owner.describeInstance('web1.example.com', { disks: [owner.file('disk.img')] }),
    used: () => {
      const requests = proxy.seen.slice(reported).map(({ request }) => request);
      reported = proxy.seen.length;
      const mayBeDenied = ({ path, query }: ProxiedRequest): boolean =>
        path.endsWith('.gantry-probe') || query.has('versioning') || query.has('object-lock');
      const counting = requests.filter((request) => !mayBeDenied(request));
      return [...new Set(counting.map(rightFor))].toSorted();
    },
    async [Symbol.asyncDispose]() {
      await owner[Symbol.asyncDispose]();
      await user[Symbol.asyncDispose]();
    },
  };
}

/** Every object in the bucket but the marker of the store. */
async function keysIn({ bucket }: Fixture): Promise<readonly string[]> {
  const { body } = await s3Request(ceph, `/${bucket}?list-type=2`);
  return [...body.matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key = '']) => key).filter((key) => !key.endsWith('/gantry-store.json'));
}

async function ok(running: Promise<Outcome>): Promise<string> {
  const { exitCode, stdout, stderr } = await running;
  expect(exitCode, stderr).toBe(0);
  return lastLine(stdout);
}

async function expectDenied(running: Promise<Outcome>): Promise<void> {
  const { exitCode, stderr } = await running;
  expect(exitCode, stderr).toBe(8);
  expect(stderr).toMatch(/STORE_DENIED/);
}

test('a user with the rights to read can list, show, verify and import, uses exactly these rights, and can do nothing else', async () => {
  await using fixture = await makeFixture('read');
  const { owner, user, store } = fixture;
  const reference = await ok(owner.gantry('export', fixture.source, store));
  await makeSparseFile(user.file('copy.img'), 12 * MIB);
  const target = await user.describeInstance('web2.example.com', { disks: ['copy.img'] });
  fixture.used();
  await ok(user.gantry('list', store));
  await ok(user.gantry('show', store, reference));
  await ok(user.gantry('verify', store, reference));
  await ok(user.gantry('import', store, reference, '--to', target));
  // It asks for locks, where it may not see that the bucket has none, and does without the answer.
  expect(fixture.used().filter((right) => right !== 's3:GetObjectRetention')).toEqual((await documented('read')).actions);
  await expectDenied(user.gantry('remove', store, reference));
  await expectDenied(user.gantry('export', fixture.source, store));
  await ok(owner.gantry('verify', store, reference));
  expect(await listUnfinishedUploads(ceph, fixture.bucket)).toEqual([]);
});

test('a user with the rights to export can export and remove a failed export, and uses exactly these rights', async () => {
  await using fixture = await makeFixture('export');
  const { user, store } = fixture;
  const reference = await ok(user.gantry('export', fixture.source, store));
  await user.defineOs('failing', { export: 'head -c 12000000 /dev/urandom; exit 1', import: 'cat >/dev/null' });
  const failing = await user.describeInstance('web2.example.com', { os: 'failing', disks: [fixture.owner.file('disk.img')] });
  expect((await user.gantry('export', failing, store)).exitCode).toBe(6);
  expect(fixture.used()).toEqual((await documented('export')).actions);
  expect(await listUnfinishedUploads(ceph, fixture.bucket)).toEqual([]);
  const keys = await keysIn(fixture);
  expect(keys).toHaveLength(5);
  for (const key of keys) expect(key).toContain(reference.replace('@', '/'));
});

test('a user with the rights to remove can remove, and uses exactly these rights', async () => {
  await using fixture = await makeFixture('remove');
  const { owner, user, store } = fixture;
  const reference = await ok(owner.gantry('export', fixture.source, store));
  fixture.used();
  await ok(user.gantry('remove', store, reference));
  expect(fixture.used()).toEqual((await documented('remove')).actions);
  expect(await keysIn(fixture)).toEqual([]);
  await expectDenied(user.gantry('export', fixture.source, store));
});

test('a user with the rights to clean can clean, and uses exactly these rights', async () => {
  await using fixture = await makeFixture('clean');
  const { owner, user, store } = fixture;
  const claim = `/${fixture.bucket}/exports/web1.example.com/20200101T000000Z/export.claim`;
  const answer = await s3Request(ceph, claim, { method: 'PUT', body: '{}' });
  expect(answer.status).toBe(200);
  await s3Request(ceph, `${claim.replace('export.claim', 'disk0.zst')}?uploads=`, { method: 'POST' });
  expect(await listUnfinishedUploads(ceph, fixture.bucket)).toHaveLength(1);
  await ok(user.gantry('clean', store, '--export', 'web1.example.com@20200101T000000Z'));
  expect(fixture.used()).toEqual((await documented('clean')).actions);
  expect(await listUnfinishedUploads(ceph, fixture.bucket)).toEqual([]);
  expect(await keysIn(fixture)).toEqual([]);
  await expectDenied(user.gantry('export', fixture.source, store));
  await ok(owner.gantry('list', store));
});

/** What an address says so that objects are locked. */
const LOCK = '&objectLockMode=GOVERNANCE&objectLockRetainUntil=2d';

test('a user who may only add under a lock exports incrementally, renews locks, and can remove and shorten nothing', async () => {
  await using fixture = await makeFixture('add-locked', { objectLock: true });
  const { owner, user, bucket } = fixture;
  const store = `${fixture.store}${LOCK}&conditionalWrites=full&acl=bucket-owner-full-control`;
  const first = await ok(user.gantry('export', fixture.source, store, '--incremental'));
  const second = await ok(user.gantry('export', fixture.source, store.replace('=2d', '=20d'), '--incremental'));
  // It may end the upload of an export that fails, and tries to take its claims away.
  const { actions } = await documented('add-locked');
  expect(fixture.used().filter((right) => right !== 's3:DeleteObject')).toEqual(
    actions.filter((right) => right !== 's3:AbortMultipartUpload'),
  );
  const daysOf = async (reference: string): Promise<number> => {
    const { stdout } = await owner.gantry('verify', store, reference, '--json');
    const until: unknown = JSON.parse(lastLine(stdout)).protectedUntil;
    return Math.round((Date.parse(String(until)) - Date.now()) / 86_400_000);
  };
  // Its own dump is protected for longer, its manifest is not.
  expect(await daysOf(second)).toBe(20);
  expect(await daysOf(first)).toBe(2);

  await expectDenied(user.gantry('remove', store, first));
  const path = `/${bucket}/exports/${first.replace('@', '/')}/disk0.zst`;
  const versions = await s3Request(ceph, `/${bucket}?prefix=${encodeURIComponent(path.slice(bucket.length + 2))}&versions=`);
  const [, version = ''] = /<VersionId>(.*?)<\/VersionId>/.exec(versions.body) ?? [];
  // Not even the bucket's owner, for as long as the lock lasts.
  expect((await s3Request(ceph, `${path}?versionId=${version}`, { method: 'DELETE' })).status).toBe(403);
  await ok(owner.gantry('verify', store, second));
});

test('a user with the rights to verify under a lock sees until when exports are protected, and can change nothing', async () => {
  await using fixture = await makeFixture('verify-locked', { objectLock: true });
  const { owner, user } = fixture;
  const store = `${fixture.store}${LOCK}`;
  const reference = await ok(owner.gantry('export', fixture.source, store));
  fixture.used();
  const { stdout, stderr } = await user.gantry('verify', store, reference);
  expect(stdout, stderr).toMatch(/^protected until 20/m);
  expect(stderr).not.toMatch(/not protected/);
  expect((await user.gantry('list', store)).stdout).toMatch(/until 20/);
  const { actions } = await documented('verify-locked');
  // The lock comes with the answer of a HEAD; whether the bucket has locks may stay unknown.
  const forLocks = new Set(['s3:GetObjectRetention', 's3:GetBucketObjectLockConfiguration']);
  expect(fixture.used()).toEqual(actions.filter((action) => !forLocks.has(action)));
  await expectDenied(user.gantry('remove', store, reference));
  await expectDenied(user.gantry('export', fixture.source, store));

  // What was written without a lock is found by those who ask for one.
  const bare = await ok(owner.gantry('export', fixture.source, fixture.store));
  expect((await user.gantry('verify', store, bare)).stderr).toMatch(/manifest\.json is not protected by the service/);
});

test('a user who may read, but not see locks, is not told that exports are unprotected', async () => {
  await using fixture = await makeFixture('read', { objectLock: true });
  const { owner, user } = fixture;
  const bare = await ok(owner.gantry('export', fixture.source, fixture.store));
  for (const only of [[bare], []]) {
    const { exitCode, stderr } = await user.gantry('verify', `${fixture.store}${LOCK}`, ...only);
    expect(exitCode, stderr).toBe(0);
    expect(stderr).not.toMatch(/not protected/);
    expect(stderr.match(/cannot see whether removals/g), stderr).toHaveLength(1);
  }
});

test('a user with the rights to undelete brings back what one with the rights to remove has removed, and can do nothing else', async () => {
  await using fixture = await makeFixture('undelete', { objectLock: true });
  const { owner, user, store } = fixture;
  const full = await ok(owner.gantry('export', fixture.source, store, '--incremental'));
  const second = await ok(owner.gantry('export', fixture.source, store, '--incremental'));
  for (const reference of [full, second]) await ok(owner.gantry('remove', store, reference));
  for (const _ of [1, 2]) await ok(owner.gantry('prune', store));
  fixture.used();
  await ok(user.gantry('undelete', store));
  await ok(user.gantry('undelete', store, second));
  await ok(user.gantry('undelete', store, full));
  expect(fixture.used()).toEqual((await documented('undelete')).actions);
  // It may write a claim, and no dump.
  await expectDenied(user.gantry('export', fixture.source, `${store}&conditionalWrites=none`));
  for (const reference of [full, second]) await ok(owner.gantry('verify', store, reference));
});

test('a user with the rights to add exports can add them, but not list, read or remove any', async () => {
  await using fixture = await makeFixture('add');
  const { owner, user } = fixture;
  const store = `${fixture.store}&conditionalWrites=full&acl=bucket-owner-full-control`;
  // First: this user cannot see that an id is taken, and would be refused if the owner started in the same second.
  const reference = await ok(user.gantry('export', fixture.source, store));
  const own = await ok(owner.gantry('export', fixture.source, fixture.store));
  for (const command of ['list', 'show', 'verify', 'remove']) {
    await expectDenied(user.gantry(command, store, ...(command === 'list' ? [] : [own])));
  }
  await ok(owner.gantry('verify', fixture.store, reference));
});
