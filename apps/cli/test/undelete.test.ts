import { mkdir, readFile, writeFile } from 'node:fs/promises';
import type { CephServer } from '@gantry/testkit';
import { ALL_VARIANTS, createBucket, makeRandomFile, makeSparseFile, s3Request, startCeph } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { blockOf, shellBlocks } from './documented-blocks.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { environmentOfPages, lastLine, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

let ceph: CephServer;
let bench: Workbench;
beforeAll(async () => {
  ceph = await startCeph();
  bench = await makeWorkbench({ AWS_ACCESS_KEY_ID: ceph.accessKeyId, AWS_SECRET_ACCESS_KEY: ceph.secretAccessKey });
});
afterAll(async () => {
  await bench[Symbol.asyncDispose]();
  await ceph[Symbol.asyncDispose]();
});

async function ok(running: Promise<Outcome>): Promise<string> {
  const { exitCode, stdout, stderr } = await running;
  expect(exitCode, stderr).toBe(0);
  return stdout;
}

/** A store in a new bucket that keeps versions, with a full and an incremental export of two disks, of which one changed. */
async function makeLineage(bucket: string) {
  await createBucket(ceph, bucket, { objectLock: true });
  const store = `s3://${bucket}/exports?${new URLSearchParams({ endpoint: ceph.endpoint }).toString()}`;
  const disks = ['a', 'b'].map((name) => bench.file(`${bucket}-${name}.img`));
  for (const disk of disks) await makeRandomFile(disk, MIB, disk);
  const instance = await bench.describeInstance(`${bucket}.example.com`, { disks });
  const full = lastLine(await ok(bench.gantry('export', instance, store, '--incremental')));
  await makeRandomFile(disks[1] ?? '', MIB, 'changed');
  const increment = lastLine(await ok(bench.gantry('export', instance, store, '--incremental')));
  return { store, disks, full, increment };
}

/** Hides everything that nothing refers to: the first run marks dumps, the second deletes them. */
async function pruneAll(store: string): Promise<void> {
  for (const _ of [1, 2]) await ok(bench.gantry('prune', store));
}

async function expectRestorable(store: string, reference: string, disks: readonly string[]): Promise<void> {
  await ok(bench.gantry('verify', store, reference));
  const copies = disks.map((_, index) => bench.file(`copy-${index}.img`));
  for (const copy of copies) await makeSparseFile(copy, MIB);
  const target = await bench.describeInstance('target.example.com', { disks: copies });
  await ok(bench.gantry('import', store, reference, '--to', target));
  for (const [index, disk] of disks.entries())
    expect((await readFile(copies[index] ?? '')).equals(await readFile(disk)), `disk ${index}`).toBe(true);
}

test('removed exports are listed, and come back with the dumps of others that they need', async () => {
  const { store, disks, full, increment } = await makeLineage('lineage');
  expect(await ok(bench.gantry('undelete', store))).toContain('nothing that was removed');
  // The dump that the increment needs stays first, and goes with it.
  await ok(bench.gantry('remove', store, full));
  await ok(bench.gantry('remove', store, increment));
  await pruneAll(store);
  expect(await ok(bench.gantry('list', store))).not.toContain('example.com');

  const listed = await ok(bench.gantry('undelete', store));
  for (const reference of [full, increment]) expect(listed).toContain(`${reference}: removed 20`);
  await ok(bench.gantry('undelete', store, increment, '--dry-run'));
  expect(await ok(bench.gantry('list', store))).not.toContain('example.com');

  expect(await ok(bench.gantry('undelete', store, increment))).toMatch(/brought back/);
  await expectRestorable(store, increment, disks);
  // No prune takes its dumps away again.
  await pruneAll(store);
  await expectRestorable(store, increment, disks);
  expect(await ok(bench.gantry('undelete', store))).not.toContain(increment);

  expect(await ok(bench.gantry('undelete', store, full))).toMatch(/brought back/);
  await ok(bench.gantry('verify', store, full));
  await pruneAll(store);
  await ok(bench.gantry('verify', store));
  expect(await bench.gantry('undelete', store, full)).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('EXPORT_NOT_FOUND') });
});

test('an export whose dumps stayed for others comes back beside them', async () => {
  const { store, full, increment } = await makeLineage('beside');
  await ok(bench.gantry('remove', store, full));
  expect(await ok(bench.gantry('undelete', store, 'beside.example.com'))).toContain(full);
  for (const reference of [full, increment]) await ok(bench.gantry('verify', store, reference));
  expect(await ok(bench.gantry('list', store))).not.toMatch(/being removed/);
});

test('an export of which the service has lost something is incomplete, and a store that keeps no versions says so', async () => {
  const { store, full, increment } = await makeLineage('lost');
  for (const reference of [increment, full]) await ok(bench.gantry('remove', store, reference));
  await pruneAll(store);
  const prefix = `/lost/exports/${full.replace('@', '/')}`;
  const { body } = await s3Request(ceph, `/lost?prefix=${encodeURIComponent(`${prefix.slice(6)}/disk0.zst`)}&versions=`);
  const [, version = ''] = /<Version>.*?<VersionId>(.*?)<\/VersionId>/s.exec(body) ?? [];
  const gone = await s3Request(ceph, `${prefix}/disk0.zst?versionId=${version}`, { method: 'DELETE' });
  expect(gone.status, `${version} ${gone.body}`).toBe(204);
  const outcome = await bench.gantry('undelete', store, increment);
  expect(outcome).toMatchObject({ exitCode: 7, stdout: expect.stringMatching(/incomplete: .*disk0\.zst.* \[PACK_MISSING\]/) });
  expect(await bench.gantry('undelete', bench.store)).toMatchObject({
    exitCode: expect.any(Number),
    stderr: expect.stringContaining('STORE_UNSUPPORTED'),
  });
});

test('the page about exports into a bucket works as it says, up to an undelete', async () => {
  const page = 'export-into-a-bucket';
  await createBucket(ceph, 'backups', { objectLock: true });
  const env = { ...(await environmentOfPages(bench)), HOME: bench.path };
  const profile = (name: string, block: string): string => {
    const keys = [ceph.accessKeyId, ceph.secretAccessKey];
    return block.replace('[backups]', `[${name}]`).replaceAll('…', () => keys.shift() ?? '');
  };
  const block = await blockOf(page, 'ini');
  await mkdir(bench.file('.aws'));
  const profiles = ['backups', 'add', 'admin'].map((name) => profile(name, block));
  await writeFile(bench.file('.aws', 'credentials'), profiles.join(''), { mode: 0o600 });
  await makeRandomFile(bench.file('disk.img'), MIB, page);
  await bench.describeInstance('web1.example.com', { disks: [bench.file('disk.img')] });
  await execa('mv', ['web1.example.com.yaml', 'web1.yaml'], { cwd: bench.path });
  // The service of the page is in Frankfurt, or elsewhere; this one is here.
  const here = `endpoint=${ceph.endpoint}`;
  const follow = async (script: string): Promise<string> => {
    const adapted = script.replaceAll(/region=eu-central-1|endpoint=https:[^&']*/g, here).replaceAll('?profile=', `?${here}&profile=`);
    return (await execa('bash', ['-euc', adapted], { cwd: bench.path, env, extendEnv: false, stdin: 'ignore' })).stdout;
  };

  const [make, use, elsewhere, locked, undelete] = await shellBlocks(page, 5);
  const [init = '', conformance = ''] = make.split(/(?<=\n)/);
  await follow(init);
  if (ALL_VARIANTS) expect(await follow(conformance)).toMatch(/keeps all \d\d+ promises/);
  const before = await readFile(bench.file('disk.img'));
  await follow(use);
  expect((await readFile(bench.file('disk.img'))).equals(before)).toBe(true);
  const removed = lastLine(await follow(elsewhere));
  await follow(locked);
  const store = `s3://backups/exports?${here}&profile=admin`;
  const list = `gantry list '${store}'`;
  const [, id = ''] = removed.split('@');
  const left = await follow(`gantry remove '${store}' ${removed}; ${list}`);
  // One that was made in the same second has the same beginning.
  expect(left.replace(/^.*removed.*$/m, '')).not.toMatch(new RegExp(`${id}(?!-)`));
  expect(left).toContain('PROTECTED');
  expect(await follow(undelete.replace('web1.example.com@20261123T081500Z', removed) + list)).toContain(id);
});
