import { open, truncate } from 'node:fs/promises';
import { makeSparseFile, oneIn, sha256File, startCeph, startFaultProxy, startSshServer, createBucket } from '@gantry/testkit';
import { execa } from 'execa';
import { afterAll, describe, expect, test } from 'vitest';
import { ok } from './three-disks.ts';
import type { Workbench } from './workbench.ts';
import { exportDirectory, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;
const FRAME = 4 * MIB;
const DISK = 5 * FRAME;
const NAME = 'web1.example.com';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const server = scope.use(await startSshServer());
const ceph = scope.use(await startCeph());
const proxy = scope.use(await startFaultProxy(ceph.endpoint));
const { accessKeyId, secretAccessKey } = ceph;

/** A workbench with an instance of one disk of five frames, the last of which is a hole. */
async function makeBench(): Promise<{ readonly bench: Workbench; readonly source: string; readonly target: string } & AsyncDisposable> {
  const bench = await makeWorkbench({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
  await makeSparseFile(bench.file('a.img'), DISK, [{ offset: 0, bytes: 4 * FRAME, seed: 'a' }]);
  await makeSparseFile(bench.file('b.img'), DISK);
  return {
    bench,
    source: await bench.describeInstance(NAME, { disks: ['a.img'] }),
    target: await bench.describeInstance('copy.example.com', { disks: ['b.img'] }),
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
}

async function change(bench: Workbench, at: number): Promise<void> {
  await using disk = await open(bench.file('a.img'), 'r+');
  await disk.write(Buffer.from('changed'), 0, 7, at);
}

interface ExportAnswer {
  readonly reference: string;
  readonly storedBytes: number;
  readonly incremental: { readonly parents: readonly string[]; readonly known: { readonly frames: number } };
}

/** An incremental export, as `--json` says it. */
async function exported(bench: Workbench, source: string, store: string): Promise<ExportAnswer> {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- json-output.test.ts checks what is in it
  return JSON.parse(await ok(bench.gantry('export', source, store, '--incremental', '--snapshot', 'none', '--json'))) as ExportAnswer;
}

describe.each(oneIn(2, ['file', 'ssh', 's3']))('in a store by %s', (scheme) => {
  test('an export stores what the one before lacks, and each is restored and verified', async () => {
    await using made = await makeBench();
    const { bench, source, target } = made;
    const bucket = `bucket-${scheme}`;
    if (scheme === 's3') await createBucket(ceph, bucket);
    const s3 = `s3://${bucket}/exports?${new URLSearchParams({ endpoint: proxy.endpoint }).toString()}`;
    const store = { file: bench.store, ssh: server.address(bench.store), s3 }[scheme] ?? '';
    const first = await exported(bench, source, store);
    const digests = [await sha256File(bench.file('a.img'))];
    await change(bench, FRAME + 1000);
    digests.push(await sha256File(bench.file('a.img')));
    const second = await exported(bench, source, store);
    expect(second.incremental).toMatchObject({ parents: [first.reference], known: { frames: 3 } });
    expect(second.storedBytes).toBeLessThan(FRAME + 1000);
    const before = proxy.seen.length;
    const third = await exported(bench, source, store);
    expect(third).toMatchObject({ storedBytes: 0, incremental: { parents: [second.reference], known: { frames: 4 } } });
    const requests = proxy.seen.slice(before).map(({ request: { method } }) => method);
    // What an unchanged disk costs in a bucket: nothing is started that is not kept.
    if (scheme === 's3') expect(requests).not.toContain('POST');
    if (scheme === 's3') expect(requests.length).toBeLessThanOrEqual(42);
    for (const [index, { reference }] of [first, second, third].entries()) {
      expect(await ok(bench.gantry('verify', store, reference))).toMatch(/every frame and digest is correct/);
      await ok(bench.gantry('import', store, reference, '--to', target));
      expect(await sha256File(bench.file('b.img'))).toBe(digests[Math.min(index, 1)]);
    }
    if (scheme !== 'file') return;
    const check = await execa('sha256sum', ['--check', '--strict', 'SHA256SUMS'], { cwd: exportDirectory(bench, third.reference) });
    expect(check.stdout).toContain(`../${first.reference.split('@')[1]}/disk0.zst: OK`);
  });
});

test('a disk that grew by zeros differs', async () => {
  await using made = await makeBench();
  const { bench, source } = made;
  const first = await exported(bench, source, bench.store);
  await truncate(bench.file('a.img'), 8 * FRAME);
  const second = await exported(bench, source, bench.store);
  const difference = await ok(bench.gantry('diff', bench.store, first.reference, second.reference));
  expect(difference).toMatch(/^0 +20\.0 MiB to 32\.0 MiB +- +- +maps$/m);
  expect(difference).not.toContain('no difference');
  expect(await ok(bench.gantry('diff', bench.store, second.reference, second.reference))).toContain('no difference');
});

test('says what it found, and what is wrong with a call', async () => {
  await using made = await makeBench();
  const { bench, source } = made;
  const first = await bench.gantry('export', source, bench.store, '--incremental');
  expect(first.stderr).toContain('no parent: 0 frames known (0 B), 4 new (16.0 MiB)');
  await change(bench, 0);
  const second = await bench.gantry('export', source, bench.store, '--incremental');
  expect(second.stderr).toContain(`based on ${first.stdout}: 3 frames known (12.0 MiB), 0 new (0 B), 1 patched (4.00 MiB)`);
  expect(await bench.gantry('export', source, bench.store, '--base', first.stdout)).toMatchObject({
    exitCode: 2,
    stderr: expect.stringContaining('--base goes with --incremental'),
  });
  const base = await bench.gantry('export', source, bench.store, '--incremental', '--base', `${NAME}@20000101T000000Z`);
  expect(base).toMatchObject({ exitCode: 9, stderr: expect.stringContaining('there is no export') });
});
