import { generateX25519Identity, Identities } from '@gantry/age';
import { readFile, rm, writeFile } from 'node:fs/promises';
import type { CephServer } from '@gantry/testkit';
import { createBucket, makeRandomFile, makeSparseFile, s3Request, startCeph, startSshServer } from '@gantry/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { grantRights, keysOf } from './s3-rights.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;
const BUCKET = 'vault';

let ceph: CephServer;
const scope = new AsyncDisposableStack();
beforeAll(async () => {
  ceph = scope.use(await startCeph());
});
afterAll(() => scope.disposeAsync());

async function ok(running: Promise<Outcome>): Promise<string> {
  const { exitCode, stdout, stderr } = await running;
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

/** Every object in the bucket. */
async function keysInBucket(): Promise<readonly string[]> {
  const { body } = await s3Request(ceph, `/${BUCKET}?list-type=2`);
  return [...body.matchAll(/<Key>(.*?)<\/Key>/g)].map(([, key = '']) => key);
}

/** An identity that never is on the machine that exports, and its recipient. */
async function makeIdentity(bench: Workbench, name: string): Promise<{ readonly file: string; readonly recipient: string }> {
  const identity = await generateX25519Identity();
  const [recipient = ''] = await Identities.parse(identity).recipients();
  await writeFile(bench.file(name), `${identity}\n`, { mode: 0o600 });
  return { file: bench.file(name), recipient };
}

async function expectRestored(vault: Workbench, store: string, reference: string, identity: string, disks: readonly Buffer[]) {
  const copies = disks.map((_, index) => vault.file(`restored-${index}.img`));
  for (const copy of copies) await makeSparseFile(copy, MIB);
  const target = await vault.describeInstance('restored.example.com', { disks: copies });
  await ok(vault.gantry('import', store, reference, '--to', target, '--identity', identity));
  for (const [index, copy] of copies.entries())
    expect((await readFile(copy)).equals(disks[index] ?? Buffer.of()), `disk ${index}`).toBe(true);
}

test('sealed exports by credentials that only add: exported, verified, mirrored, pruned, attacked, lost and restored elsewhere', async () => {
  await createBucket(ceph, BUCKET, { objectLock: true });
  const [adds = ceph, verifies = ceph, removes = ceph, reads = ceph] = await grantRights(ceph, BUCKET, [
    'add-locked',
    'verify-locked',
    'remove',
    'read',
  ]);
  // Four machines with an account each; the identity is on the last one.
  const [host, verifier, pruner, vault] = await Promise.all(
    [adds, verifies, removes, reads].map(async (keys) => scope.use(await makeWorkbench(keysOf(keys)))),
  );
  if (host === undefined || verifier === undefined || pruner === undefined || vault === undefined) throw new Error('a machine is missing');
  const store = `s3://${BUCKET}/exports?${new URLSearchParams({ endpoint: ceph.endpoint }).toString()}`;
  const locked = `${store}&objectLockMode=GOVERNANCE&objectLockRetainUntil=3d`;
  const writing = `${locked}&conditionalWrites=full&acl=bucket-owner-full-control`;
  const [identity, escrow] = [await makeIdentity(vault, 'identity'), await makeIdentity(vault, 'escrow')];

  // Export, and again: only what changed.
  const paths = ['a', 'b'].map((name) => host.file(`${name}.img`));
  for (const path of paths) await makeRandomFile(path, MIB, path);
  const instance = await host.describeInstance('web1.example.com', { disks: paths });
  const exporting = ['export', instance, writing, '--incremental', '--recipient', identity.recipient, '--recipient', escrow.recipient];
  const full = lastLine(await ok(host.gantry(...exporting)));
  await makeRandomFile(paths[1] ?? '', MIB, 'changed');
  const second = lastLine(await ok(host.gantry(...exporting)));
  const disks = await Promise.all(paths.map((path) => readFile(path)));
  const keys = await keysInBucket();
  const below = (reference: string): readonly string[] =>
    keys.flatMap((key) => (key.includes(reference.replace('@', '/')) ? (key.split('/').at(-1) ?? []) : []));
  expect(below(full)).toEqual(expect.arrayContaining(['disk0.zst.age', 'disk1.zst.age', 'sealed.json.age']));
  expect(below(second)).toEqual(expect.arrayContaining(['disk0.map.age', 'disk1.map.age', 'disk1.pack.zst.age']));
  expect(below(second).filter((name) => name.startsWith('disk0') && !name.includes('map'))).toEqual([]);

  // The host can neither read nor remove what it exported.
  expect(await host.gantry('import', writing, second, '--to', instance)).toMatchObject({
    stderr: expect.stringContaining('IDENTITY_NEEDED'),
  });
  expect(await host.gantry('remove', writing, full)).toMatchObject({ stderr: expect.stringContaining('STORE_DENIED') });

  // Without keys: verified, with its locks, and mirrored to another place.
  expect(await ok(verifier.gantry('verify', locked))).toMatch(/2 exports verified.*every digest is correct/);
  expect(await ok(verifier.gantry('verify', locked, second))).toMatch(/^protected until 20/m);
  const mirror = verifier.file('mirror');
  await ok(verifier.gantry('mirror', store, mirror));

  // Without keys: pruned; what the other one needs stays.
  await ok(pruner.gantry('prune', store, '--keep-last', '1'));
  expect(await ok(verifier.gantry('list', store))).not.toMatch(new RegExp(`^.*${full}`, 'm'));
  await ok(verifier.gantry('verify', locked));
  await expectRestored(vault, store, second, identity.file, disks);
  await expectRestored(vault, store, second, escrow.file, disks);

  // Who has the host replaces a dump: that is found, the version is still there, and the mirror restores.
  const pack = `/${BUCKET}/exports/${second.replace('@', '/')}/disk1.pack.zst.age`;
  expect((await s3Request(adds, pack, { method: 'PUT', body: 'something else' })).status).toBe(200);
  expect(await verifier.gantry('verify', locked)).toMatchObject({ exitCode: 7 });
  const { body } = await s3Request(ceph, `/${BUCKET}?prefix=${encodeURIComponent(pack.slice(BUCKET.length + 2))}&versions=`);
  const versions = [...body.matchAll(/<VersionId>(.*?)<\/VersionId>/g)].map(([, version = '']) => version);
  expect(versions).toHaveLength(2);
  for (const version of versions.slice(1))
    expect((await s3Request(removes, `${pack}?versionId=${version}`, { method: 'DELETE' })).status).toBe(403);
  await expectRestored(vault, mirror, second, identity.file, disks);

  // The host is lost, and with it what it kept: its successor makes a full export.
  await rm(host.file('state'), { recursive: true });
  const third = lastLine(await ok(host.gantry(...exporting)));
  expect((await keysInBucket()).filter((key) => key.includes(third.replace('@', '/')))).toEqual(
    expect.arrayContaining([expect.stringMatching(/disk0\.zst\.age$/), expect.stringMatching(/disk1\.zst\.age$/)]),
  );
  await expectRestored(vault, store, third, identity.file, disks);
});

test('a sealed lineage goes from a directory to a peer and into a bucket without keys, from its end on', async () => {
  await createBucket(ceph, 'along');
  await using sshd = await startSshServer();
  await using bench = await makeWorkbench(keysOf(ceph));
  const identity = await makeIdentity(bench, 'identity');
  const paths = ['a', 'b'].map((name) => bench.file(`${name}.img`));
  for (const path of paths) await makeRandomFile(path, MIB, path);
  const instance = await bench.describeInstance('web2.example.com', { disks: paths });
  const exporting = ['export', instance, bench.store, '--incremental', '--recipient', identity.recipient];
  await ok(bench.gantry(...exporting));
  await makeRandomFile(paths[1] ?? '', MIB, 'changed');
  const second = lastLine(await ok(bench.gantry(...exporting)));
  const disks = await Promise.all(paths.map((path) => readFile(path)));

  const peer = sshd.address(bench.file('peer'));
  const bucket = `s3://along/exports?${new URLSearchParams({ endpoint: ceph.endpoint }).toString()}`;
  await ok(bench.gantry('copy', bench.store, second, peer));
  expect(await ok(bench.gantry('list', peer))).toContain('of a removed export are kept for others');
  await ok(bench.gantry('mirror', peer, bucket));
  for (const store of [peer, bucket]) {
    await ok(bench.gantry('verify', store));
    await ok(bench.gantry('prune', store));
    await expectRestored(bench, store, second, identity.file, disks);
  }
});
