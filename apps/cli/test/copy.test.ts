import { randomBytes } from 'node:crypto';
import { open, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { CephServer, SshServer } from '@gantry/testkit';
import { createBucket, makeRandomFile, mountNewTmpfs, PATIENTLY, startCeph, startSshServer } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectEqualDisks, makeThreeDisks, ok } from './three-disks.ts';
import type { Outcome, Workbench } from './workbench.ts';
import { jsonLines, makeWorkbench } from './workbench.ts';

const MIB = 1024 * 1024;

let scope: AsyncDisposableStack;
let server: SshServer;
let ceph: CephServer;
beforeAll(async () => {
  scope = new AsyncDisposableStack();
  server = scope.use(await startSshServer());
  ceph = scope.use(await startCeph());
});
afterAll(() => scope.disposeAsync());

function result({ stdout }: Outcome): Readonly<Record<string, unknown>> {
  return jsonLines(stdout).at(-1) ?? {};
}

async function writeAt(path: string, offset: number, text: string): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(text, offset);
}

/** What an export stores itself. */
async function ownBytes(bench: Workbench, store: string, reference: string): Promise<number> {
  const { manifest } = result(await bench.gantry('show', store, reference, '--json'));
  const dumps: readonly { readonly storedBytes: number }[] = Object(manifest).dumps;
  return dumps.reduce((total, { storedBytes }) => total + storedBytes, 0);
}

test('exports go through stores of every kind, full and incremental ones, and are imported equal from the last one', async () => {
  const { accessKeyId, secretAccessKey, endpoint } = ceph;
  await using bench = await makeWorkbench({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
  const bucket = `bucket-${randomBytes(6).toString('hex')}`;
  await createBucket(ceph, bucket);
  const stores = [
    bench.store,
    server.address(bench.file('peer')),
    `s3://${bucket}/exports?${new URLSearchParams({ endpoint }).toString()}`,
    server.address(bench.file('peer-2'), { engine: 'ssh2' }),
    bench.file('last'),
  ];
  const { source, target } = await makeThreeDisks(bench);
  const full = await ok(bench.gantry('export', source, bench.store, '--incremental'));
  await writeAt(bench.file('a0.img'), 5 * MIB, 'changed');
  const reference = await ok(bench.gantry('export', source, bench.store, '--incremental'));
  for (const [place, from] of stores.slice(0, -1).entries()) {
    const to = stores[place + 1] ?? '';
    const isMirror = place % 2 === 0;
    if (!isMirror) await ok(bench.gantry('copy', from, full, to));
    const command = isMirror ? ['mirror', from, to] : ['copy', from, reference, to];
    await ok(bench.gantry(...command));
    expect(result(await bench.gantry(...command, '--json'))).toMatchObject({ sentBytes: 0 });
    // One frame of 4 MiB has changed.
    expect(await ownBytes(bench, to, reference)).toBeLessThan(5 * MIB);
  }
  const last = stores.at(-1) ?? '';
  expect(await ok(bench.gantry('verify', last, reference))).toMatch(/every frame and digest is correct/);
  await ok(bench.gantry('import', last, reference, '--to', target));
  await expectEqualDisks(bench);
});

async function unfinishedBytes(store: string): Promise<number> {
  const options = { recursive: true, withFileTypes: true } as const;
  const entries = await readdir(join(store, '.gantry-pending'), options).catch(() => []);
  const sizes = entries.map((entry) => stat(join(entry.parentPath, entry.name)).then(({ size }) => size));
  const found = await Promise.allSettled(sizes);
  return found.reduce((total, size) => total + (size.status === 'fulfilled' ? size.value : 0), 0);
}

describe('a copy that does not end', () => {
  /** An export with 12 MiB of dumps. */
  async function exportRandom(bench: Workbench): Promise<string> {
    await makeRandomFile(bench.file('disk.img'), 12 * MIB, 'disk');
    return ok(bench.gantry('export', await bench.describeInstance('a.example.com', { disks: ['disk.img'] }), bench.store));
  }

  /** Resolves when a part of a dump is in a store in this directory, as an unfinished write. */
  async function someArrived(store: string): Promise<void> {
    await expect.poll(() => unfinishedBytes(store), PATIENTLY).toBeGreaterThan(256 * 1024);
  }

  test.each(['file', 'ssh'])('because it is killed (-9) is never complete, and the next one continues it (%s)', async (scheme) => {
    await using bench = await makeWorkbench();
    const reference = await exportRandom(bench);
    const there = bench.file('there');
    const address = scheme === 'file' ? there : server.address(there);
    await ok(bench.gantry('store', 'init', address));
    const running = bench.start('copy', bench.store, reference, address, '--limit-rate', '2M');
    await someArrived(there);
    running.kill('SIGKILL');
    expect(await running.outcome).toMatchObject({ exitCode: undefined });
    await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
    expect(await bench.gantry('list', address)).toMatchObject({ stdout: expect.stringMatching(/a\.example\.com@\S+ +unfinished/) });
    const second = await bench.gantry('copy', bench.store, reference, address, '--json');
    expect(result(second), second.stderr).toMatchObject({ outcome: 'copied', reference });
    expect(await ok(bench.gantry('verify', address, reference))).toMatch(/every frame and digest is correct/);
    expect(await ok(bench.gantry('clean', address))).toBe('nothing to clean');
  });

  test('because it is killed (-9) while it sends new frames leaves what the next one clears', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 5 * MIB, 'disk');
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    await ok(bench.gantry('export', source, bench.store, '--incremental'));
    const there = bench.file('there');
    await ok(bench.gantry('mirror', bench.store, there));
    await makeRandomFile(bench.file('disk.img'), 5 * MIB, 'another disk');
    const reference = await ok(bench.gantry('export', source, bench.store, '--incremental'));
    const running = bench.start('mirror', bench.store, there, '--limit-rate', '1M');
    await someArrived(there);
    running.kill('SIGKILL');
    await running.outcome;
    const second = await bench.gantry('mirror', bench.store, there);
    expect(second).toMatchObject({ exitCode: 0, stdout: expect.stringContaining(`copied ${reference}`) });
    expect(await ok(bench.gantry('verify', there, reference))).toMatch(/every frame and digest is correct/);
    expect(await ok(bench.gantry('clean', there))).toBe('nothing to clean');
  });

  test('because it is interrupted says so, and the next one sends the rest', async () => {
    await using bench = await makeWorkbench();
    const reference = await exportRandom(bench);
    const there = bench.file('there');
    await ok(bench.gantry('store', 'init', there));
    const running = bench.start('copy', bench.store, reference, there, '--limit-rate', '4M');
    await someArrived(there);
    running.kill('SIGINT');
    expect(await running.outcome).toMatchObject({ exitCode: 130 });
    const second = result(await bench.gantry('mirror', bench.store, there, '--json'));
    expect(second).toMatchObject({ exports: [{ reference, outcome: 'copied' }] });
    expect(second['sentBytes']).toBeLessThan(12 * MIB);
    expect(await ok(bench.gantry('verify', there, reference))).toMatch(/every frame and digest is correct/);
  });

  test('because the store is full leaves nothing there', async () => {
    await using bench = await makeWorkbench();
    const reference = await exportRandom(bench);
    await using small = await mountNewTmpfs(6 * MIB);
    expect(await bench.gantry('copy', bench.store, reference, small.path)).toMatchObject({
      exitCode: 8,
      stderr: expect.stringContaining('STORE_FULL'),
    });
    expect(await readdir(small.path)).toEqual(['gantry-store.json']);
  });
});

test('mirror passes over what is damaged, and its exit status says so', async () => {
  await using bench = await makeWorkbench();
  await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
  const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
  const first = await ok(bench.gantry('export', source, bench.store));
  const second = await ok(bench.gantry('export', source, bench.store));
  await makeRandomFile(join(bench.store, first.replace('@', '/'), 'disk0.zst'), MIB, 'damage');
  const there = bench.file('there');
  expect(await ok(bench.gantry('mirror', bench.store, there, '--dry-run'))).toContain('2 to copy');
  const { exitCode, stdout, stderr } = await bench.gantry('mirror', bench.store, there);
  expect({ exitCode, lines: stdout.split('\n') }).toEqual({
    exitCode: 7,
    lines: [
      expect.stringMatching(`^failed ${first}: disk0.zst of ${first} is damaged`),
      expect.stringMatching(`^copied ${second} `),
      expect.stringMatching(/^1 copied \(.*\), 1 failed, 0 there already$/),
    ],
  });
  expect(stderr).toContain('[DUMP_DAMAGED]');
  expect(await ok(bench.gantry('mirror', bench.store, there))).toBe(
    '1 there already, 1 left out: the target removed them, or has newer ones (--with-older)',
  );
});
