import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import type { CephServer, SshServer } from '@gantry/testkit';
import { createBucket, findFreePorts, makeRandomFile, mountNewTmpfs, PATIENTLY, startCeph, startSshServer } from '@gantry/testkit';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { expectEqualDisks, makeThreeDisks, ok } from './three-disks.ts';
import { jsonLines, makeWorkbench } from './workbench.ts';

/*
 * One export into several stores at once, each of another kind.
 */

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

describe('an export into several stores', () => {
  test('reads the disks once, and is imported from each: a directory, a peer and a bucket', async () => {
    const { accessKeyId, secretAccessKey, endpoint } = ceph;
    await using bench = await makeWorkbench({ AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey });
    const bucket = `bucket-${randomBytes(6).toString('hex')}`;
    await createBucket(ceph, bucket);
    const { target } = await makeThreeDisks(bench);
    await bench.defineOs('counting', {
      export: `echo once >>'${bench.file('read')}'; cat "$EXPORT_DEVICE"`,
      import: 'cat >"$IMPORT_DEVICE"',
    });
    const source = await bench.describeInstance('a.example.com', { os: 'counting', disks: ['a0.img', 'a1.img', 'a2.img'] });
    const there = await bench.describeInstance('b.example.com', { os: 'counting', disks: ['b0.img', 'b1.img', 'b2.img'] });
    expect(there).toBe(target);
    const stores = [
      bench.store,
      server.address(bench.file('peer')),
      `s3://${bucket}/exports?${new URLSearchParams({ endpoint }).toString()}`,
    ];
    for (const nights of [1, 2]) {
      const reference = await ok(bench.gantry('export', source, ...stores, '--incremental'));
      expect((await readFile(bench.file('read'), 'utf8')).trim().split('\n')).toHaveLength(3 * nights);
      for (const store of stores) {
        expect(await ok(bench.gantry('verify', store, reference))).toMatch(/every frame and digest is correct/);
        await makeRandomFile(bench.file('b2.img'), 70_000, 'something else');
        await ok(bench.gantry('import', store, reference, '--to', target));
        await expectEqualDisks(bench);
      }
    }
    expect(await ok(bench.gantry('mirror', stores[0] ?? '', stores[2] ?? ''))).toBe('2 there already');
  });

  test('is complete in the others if one is full, and its exit status says that a part is missing', async () => {
    await using bench = await makeWorkbench();
    await using small = await mountNewTmpfs(8 * MIB);
    const { source, target } = await makeThreeDisks(bench);
    const full = server.address(small.path);
    const { exitCode, stdout, stderr } = await bench.gantry('export', source, full, bench.store, '--json');
    expect(exitCode, stderr).toBe(16);
    const result = jsonLines(stdout).at(-1);
    expect(result).toMatchObject({
      stores: [
        { outcome: 'failed', code: 'STORE_FULL', copyReason: expect.stringContaining('full') },
        { store: expect.stringContaining(bench.store), outcome: 'exported' },
      ],
    });
    expect(await readdir(small.path)).toEqual(['gantry-store.json']);
    await ok(bench.gantry('import', bench.store, String(result?.['reference']), '--to', target));
    await expectEqualDisks(bench);
  });

  test('does without a peer that cannot be reached, and says so', async () => {
    await using bench = await makeWorkbench();
    const port = await findFreePorts(1);
    await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    const dead = `ssh://127.0.0.1:${port}/exports?engine=ssh2&connectTimeout=5`;
    const planned = await bench.gantry('export', source, dead, bench.store, '--dry-run');
    expect(planned.exitCode, planned.stderr).toBe(16);
    expect(planned.stdout).toMatch(/^would fail: .*ssh:\/\/127\.0\.0\.1.* \[STORE_UNAVAILABLE\]\n(.*\n)*dry run: nothing was written$/m);
    const { exitCode, stdout, stderr } = await bench.gantry('export', source, dead, bench.store);
    expect(exitCode, stderr).toBe(16);
    expect(stderr).toMatch(/the export was given up in one of the stores: .*ssh:\/\/127\.0\.0\.1/);
    expect(await ok(bench.gantry('verify', bench.store, stdout.trim()))).toMatch(/every frame and digest is correct/);
    expect((await bench.gantry('export', source, 'nothing://here', bench.store)).exitCode).toBe(8);
  });

  test('that is killed (-9) is complete in none of them, and the next one clears what it left in each', async () => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), 12 * MIB, 'disk');
    await bench.defineOs('slow', { export: `cat "$EXPORT_DEVICE"; [ ! -e '${bench.file('hang')}' ] || exec sleep 1000`, import: 'exit 0' });
    const source = await bench.describeInstance('a.example.com', { os: 'slow', disks: ['disk.img'] });
    await writeFile(bench.file('hang'), '');
    const stores = [bench.store, server.address(bench.file('peer'))];
    for (const store of stores) await ok(bench.gantry('store', 'init', store));
    const running = bench.start('export', source, ...stores);
    // And has removed the write of the claim: the rest of a removal would be left to gantry clean.
    const hasClaim = async (path: string): Promise<boolean> => {
      const names = await readdir(path, { recursive: true });
      return names.some((name) => name.endsWith('export.claim')) && !names.some((name) => name.includes('gone-'));
    };
    await expect.poll(async () => (await hasClaim(bench.store)) && (await hasClaim(bench.file('peer'))), PATIENTLY).toBe(true);
    running.kill('SIGKILL');
    await running.outcome;
    await expect.poll(() => server.sessions(), PATIENTLY).toBe(0);
    for (const store of stores) expect((await bench.gantry('list', store)).stdout).toMatch(/a\.example\.com@\S+ +unfinished/);
    await rm(bench.file('hang'));
    const reference = await ok(bench.gantry('export', source, ...stores));
    for (const store of stores) {
      expect(await ok(bench.gantry('clean', store))).toBe('nothing to clean');
      expect(await ok(bench.gantry('verify', store, reference))).toMatch(/every frame and digest is correct/);
    }
  });

  test.each([
    [['there', 'there'], 'there is named twice'],
    [['there', '--store-buffer', '64M'], '--store-buffer goes with several stores'],
    [['there', 'other', '--store-buffer', '1M'], 'It must be a size such as 500M or 2G, 16M or more'],
    [['there', 'other', '--incremental', '--track-changes'], 'changes can be tracked for exports into one store only'],
  ])('is refused with %j', async (args, message) => {
    await using bench = await makeWorkbench();
    await makeRandomFile(bench.file('disk.img'), MIB, 'disk');
    const source = await bench.describeInstance('a.example.com', { disks: ['disk.img'] });
    const { exitCode, stderr } = await bench.gantry('export', source, ...args);
    expect({ exitCode, stderr }).toEqual({ exitCode: 2, stderr: expect.stringContaining(message) });
  });
});
