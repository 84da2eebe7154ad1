import { randomBytes } from 'node:crypto';
import { glob, readFile, rm, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { CephServer, FaultProxy, ProxiedRequest, SshServer } from '@gantry/testkit';
import {
  createBucket,
  makeRandomFile,
  PATIENTLY,
  s3Request,
  sha256File,
  startCeph,
  startFaultProxy,
  startSshServer,
} from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { bytesOf } from './store-bytes.ts';
import { ok } from './three-disks.ts';
import type { Workbench } from './workbench.ts';
import { lastLine, makeWorkbench } from './workbench.ts';

/*
 * What is cut off, and what is killed, on real peers and in real buckets: as export-resume.test.ts and prune.test.ts in a directory.
 */

const MIB = 1024 * 1024;
const FRAME_BYTES = 4 * MIB;
const NAME = 'web1.example.com';

let scope: AsyncDisposableStack;
let server: SshServer;
let ceph: CephServer;
let proxy: FaultProxy;
beforeAll(async () => {
  scope = new AsyncDisposableStack();
  server = scope.use(await startSshServer());
  ceph = scope.use(await startCeph());
  proxy = scope.use(await startFaultProxy(ceph.endpoint));
});
afterAll(() => scope.disposeAsync());

interface RemoteBench extends AsyncDisposable {
  readonly bench: Workbench;
  readonly store: string;
  /** The name of its bucket. */
  readonly bucket: string;
}

type Kind = 'ssh' | 's3';

/** Each takes a second or two: all of them with GANTRY_TEST_KILLS=1. */
const IS_LONG = process.env['GANTRY_TEST_KILLS'] !== undefined;
const CUTS: readonly (readonly [Kind, string])[] = [
  ['ssh', 'with SIGKILL'],
  ['s3', 'by its script'],
  ...(IS_LONG
    ? ([
        ['ssh', 'by its script'],
        ['s3', 'with SIGKILL'],
      ] as const)
    : []),
];
/** During which removals prunes are killed. */
const REMOVALS = IS_LONG ? [1, 2, 3, 4] : [2];

/** @param log where calls of the store are logged */
async function makeRemoteBench(kind: Kind, log = ''): Promise<RemoteBench> {
  const { accessKeyId, secretAccessKey } = ceph;
  const credentials = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey };
  const bench = await makeWorkbench({ ...credentials, GANTRY_STORE_LOG: log });
  const bucket = `bucket-${randomBytes(6).toString('hex')}`;
  await createBucket(ceph, bucket);
  const inBucket = `s3://${bucket}/exports?${new URLSearchParams({ endpoint: proxy.endpoint }).toString()}`;
  const store = kind === 'ssh' ? server.address(bench.file('peer')) : inBucket;
  await ok(bench.gantry('store', 'init', store));
  return {
    bench,
    store,
    bucket,
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
}

/** How much of a second disk is certainly durable when it is killed: on a peer after 64 MiB, in a bucket after a part of 8 MiB. */
const DISK_FRAMES = { ssh: 19, s3: 7 };

/** Waits until the service has a part of an unfinished write for good. */
async function somethingDurable({ bench, bucket }: RemoteBench, kind: Kind): Promise<void> {
  const durable = async (): Promise<boolean> => {
    if (kind === 'ssh') {
      const marks = glob(bench.file('peer', '.gantry-pending', '*', 'durable-*'));
      for await (const mark of marks) if (Number(await readFile(mark, 'latin1').catch(() => '0')) > 0) return true;
      return false;
    }
    const { body } = await s3Request(ceph, `/${bucket}?uploads=`);
    const [, key = '', upload = ''] = /<Key>([^<]*disk1[^<]*)<\/Key>\s*<UploadId>([^<]*)<\/UploadId>/.exec(body) ?? [];
    if (key === '') return false;
    const path = `/${bucket}/${key.split('/').map(encodeURIComponent).join('/')}`;
    return (await s3Request(ceph, `${path}?uploadId=${encodeURIComponent(upload)}`)).body.includes('<PartNumber>1<');
  };
  await expect.poll(durable, PATIENTLY).toBe(true);
}

describe('an incremental export that is cut off', () => {
  test.each(CUTS)('on %s, %s, leaves what it has stored to the next one', async (kind, how) => {
    await using log = await makeWorkbench();
    await using remote = await makeRemoteBench(kind, log.file('calls'));
    const { bench, store } = remote;
    const isKilled = how === 'with SIGKILL';
    const frames = [3, isKilled ? DISK_FRAMES[kind] : 3];
    const disks = ['disk0.img', 'disk1.img'];
    for (const [index, disk] of disks.entries()) await makeRandomFile(bench.file(disk), (frames[index] ?? 0) * FRAME_BYTES, disk);
    await bench.defineOs('slow', {
      export: `cat "$EXPORT_DEVICE"; if [ -e "$EXPORT_DEVICE.cut" ]; then ${isKilled ? 'exec sleep 1000' : 'exit 3'}; fi`,
      import: 'cat >"$IMPORT_DEVICE"',
    });
    const instance = await bench.describeInstance(NAME, { os: 'slow', disks });
    await writeFile(bench.file('disk1.img.cut'), '');
    // One after the other: the first is complete when the second is cut off.
    const running = bench.start('export', instance, store, '--incremental', '--parallel', '1');
    if (isKilled) {
      await somethingDurable(remote, kind);
      running.kill('SIGKILL');
      await running.outcome;
      await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
    } else {
      expect(await running.outcome).toMatchObject({ exitCode: 6 });
    }
    await rm(bench.file('disk1.img.cut'));
    await rm(log.file('calls'));
    const next = await bench.gantry('export', instance, store, '--incremental');
    expect(next.exitCode, next.stderr).toBe(0);
    for (const disk of [0, 1])
      expect(next.stderr).toMatch(
        new RegExp(`disk ${disk}: going on with what web1\\.example\\.com@\\S+, which was cut off, has stored\\n`),
      );
    // Nothing that was durable is sent again. What was under way is read once; of a disk that was complete, its frame map.
    const { sent, read } = bytesOf(await readFile(log.file('calls'), 'utf8'));
    const durable = isKilled ? { ssh: 64 * MIB, s3: 8 * MIB }[kind] : 3 * FRAME_BYTES;
    expect(sent).toBeLessThan((frames[1] ?? 0) * FRAME_BYTES - durable + 2 * MIB);
    expect(read).toBeLessThan((isKilled ? (frames[1] ?? 0) * FRAME_BYTES : 0) + MIB);
    if (isKilled) expect(read).toBeGreaterThanOrEqual(durable);
    for (const disk of disks) await writeFile(bench.file(`${disk}.target`), '');
    const copy = await bench.describeInstance('web2.example.com', { os: 'slow', disks: disks.map((disk) => `${disk}.target`) });
    await ok(bench.gantry('import', store, lastLine(next.stdout), '--to', copy));
    for (const disk of disks) expect(await sha256File(bench.file(`${disk}.target`))).toBe(await sha256File(bench.file(disk)));
    expect(await ok(bench.gantry('clean', store))).toBe('nothing to clean');
  });
});

/** Three exports; each has one frame of the one before, and one of its own. */
async function exportThree({ bench, store }: RemoteBench): Promise<readonly string[]> {
  const web = await bench.describeInstance(NAME, { disks: ['disk.img'] });
  const references: string[] = [];
  for (const letters of ['ab', 'bc', 'cd']) {
    await writeFile(bench.file('disk.img'), Buffer.concat(letters.split('').map((letter) => Buffer.alloc(FRAME_BYTES, letter))));
    references.push(await ok(bench.gantry('export', '--incremental', web, store)));
  }
  return references;
}

/** After another prune, or two, there is one export, which is what it was. */
async function expectPruned({ bench, store }: RemoteBench, newest: string): Promise<void> {
  const verified = await bench.gantry('verify', store, newest);
  expect(verified.exitCode, verified.stderr).toBe(0);
  for (let run = 0; run < 3; run += 1) await ok(bench.gantry('prune', store, '--keep-last', '1'));
  expect(await ok(bench.gantry('prune', store, '--keep-last', '1'))).toMatch(/^0 exports removed, 1 kept; 0 B of dumps deleted, 0 B go/);
  const { stdout } = await bench.gantry('list', store, '--json');
  const { exports, removed } = Object(JSON.parse(lastLine(stdout)));
  expect(exports).toMatchObject([{ reference: newest, state: 'complete' }]);
  // The pack of the second has a frame of the newest.
  expect(removed).toHaveLength(1);
  expect(await ok(bench.gantry('verify', store, newest, '--depth', 'frames'))).toMatch(/every frame and digest is correct/);
}

describe('a prune that is killed (-9)', () => {
  test.each(REMOVALS)('while a bucket works on its removal %i, loses nothing, and the next ones finish it', async (nth) => {
    await using remote = await makeRemoteBench('s3');
    const [, , newest = ''] = await exportThree(remote);
    let removals = 0;
    const isRemoval = ({ method, query }: ProxiedRequest): boolean => method === 'DELETE' || (method === 'POST' && query.has('delete'));
    const heal = proxy.inject({
      when: (request) => isRemoval(request) && (removals += 1) >= nth,
      fault: { kind: 'stall-response', bytes: 0 },
    });
    const stalled = proxy.waitFor((request) => isRemoval(request) && removals >= nth);
    const running = remote.bench.start('prune', remote.store, '--keep-last', '1');
    await Promise.race([stalled, running.outcome]);
    running.kill('SIGKILL');
    await running.outcome;
    heal();
    expect(removals).toBeGreaterThanOrEqual(nth);
    await expectPruned(remote, newest);
  });

  test.each(REMOVALS)('at about its removal %i on a peer, loses nothing, and the next ones finish it', async (nth) => {
    await using log = await makeWorkbench();
    await using remote = await makeRemoteBench('ssh', log.file('calls'));
    const [, , newest = ''] = await exportThree(remote);
    const removals = async (): Promise<number> => (await readFile(log.file('calls'), 'utf8')).split('"call":"remove"').length - 1;
    const before = await removals();
    const running = remote.bench.start('prune', remote.store, '--keep-last', '1');
    let hasEnded = false;
    const outcome = running.outcome.finally(() => (hasEnded = true));
    await expect.poll(async () => hasEnded || (await removals()) >= before + nth, { ...PATIENTLY, interval: 2 }).toBe(true);
    running.kill('SIGKILL');
    await outcome;
    await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
    await expectPruned(remote, newest);
  });
});
