import { randomBytes } from 'node:crypto';
import { access, open, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';

import { startQemuNbd } from '@gantry/testkit';
import { execa } from 'execa';
import { expect, test } from 'vitest';

import type { Workbench } from '../../test/snapshots/workbench.ts';
import { openWorkbench } from '../../test/snapshots/workbench.ts';
import { HeldRecords } from './held-records.ts';
import type { SnapshotProvider, Support } from './provider.ts';
import { giveFiles, snapshotFilesUndo } from './snapshot-files.ts';

/*
 * Files for scripts, of what a real NBD server offers. The running guests of other tests have them too.
 */

const { signal } = new AbortController();
const BYTES = 3 * 1024 * 1024 + 512;

/** Holds nothing still: what it says, and a snapshot of that. */
function provider(name: string, support: Support, view: object = {}): SnapshotProvider {
  return {
    name,
    supports: async () => support,
    prepare: async (requests) => ({
      take: async () => undefined,
      open: async () => requests.map(({ index }) => ({ index, kind: name, ...view })),
    }),
    drop: async () => undefined,
  };
}

async function serveRandom(bench: Workbench): Promise<AsyncDisposable & { readonly path: string; readonly content: Buffer }> {
  const content = randomBytes(BYTES);
  await writeFile(bench.file('image'), content);
  const args = ['--read-only', '--format=raw', `--export-name=${EXPORT_NAME}`, bench.file('image')];
  const server = await startQemuNbd({ directory: bench.file(), args });
  return { path: server.path, content, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

const EXPORT_NAME = 'it, "is" one';
const overNbd: Support = { ok: true, what: 'a snapshot over NBD', isOverNbd: true };

test('scripts get a file with the bytes of the snapshot, which they can only read; afterwards nothing is left', async () => {
  await using bench = await openWorkbench();
  await using server = await serveRandom(bench);
  const nbd = { socket: server.path, exportName: EXPORT_NAME };
  const request = { index: 0, disk: { path: '/nowhere', access: 'rw' }, needsPath: true } as const;
  const set = await bench.take('auto', [], { providers: [provider('far', overNbd, { nbd })], requests: [request] });
  const [view] = set.snapshots;
  const path = view?.path ?? '';
  expect(view?.nbd).toBeUndefined();
  expect((await stat(path)).size).toBe(BYTES);
  expect((await readFile(path)).equals(server.content)).toBe(true);
  // Root opens it for writing, and cannot write.
  await using file = await open(path, 'r+').catch(() => undefined);
  await expect(file?.write('x') ?? Promise.reject(new Error('cannot be opened'))).rejects.toThrow();
  await file?.close();
  await view?.assertIntact?.();
  await set[Symbol.asyncDispose]();
  await expect(access(dirname(path))).rejects.toThrow('ENOENT');
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(path);
  expect(bench.warnings).toEqual([]);
});

test('what shows the file is killed: the snapshot counts as lost, with the reason, and what was mounted is unmounted', async () => {
  await using bench = await openWorkbench();
  await using server = await serveRandom(bench);
  const held = new HeldRecords(bench.run, { instance: 'web1' }, [snapshotFilesUndo], (message) => bench.warnings.push(message));
  const snapshot = { index: 0, kind: 'far', nbd: { socket: server.path, exportName: EXPORT_NAME } };
  const [view] = await giveFiles([snapshot], { held, runId: bench.run.id, signal });
  const path = view?.path ?? '';
  const pid = Number(await readFile(`${dirname(path)}/pid`, 'utf8'));
  process.kill(pid, 'SIGKILL');
  await expect(readFile(path)).rejects.toThrow();
  await expect
    .poll(() => view?.assertIntact?.().then(() => 'intact', String))
    .toMatch(/which shows the snapshot as a file, was killed by SIGKILL/);
  expect(await readFile('/proc/self/mountinfo', 'utf8')).toContain(path);
  await held.undoAll();
  expect(await readFile('/proc/self/mountinfo', 'utf8')).not.toContain(path);
  await expect(access(dirname(path))).rejects.toThrow('ENOENT');
  expect(bench.warnings).toEqual([]);
});

test('a server that does not have the snapshot fails the export with what it said, and nothing is left', async () => {
  await using bench = await openWorkbench();
  await using server = await serveRandom(bench);
  const nbd = { socket: server.path, exportName: 'another' };
  const request = { index: 0, disk: { path: '/nowhere', access: 'rw' }, needsPath: true } as const;
  const taken = bench.take('auto', [], { providers: [provider('far', overNbd, { nbd })], requests: [request] });
  await expect(taken).rejects.toMatchObject({
    code: 'SNAPSHOT_FAILED',
    message: expect.stringMatching(
      /^cannot give the scripts a file of the far snapshot: qemu-storage-daemon, .* ended with status 1: .*another/,
    ),
  });
  const { stdout } = await execa('findmnt', ['--list', '--noheadings', '--output', 'TARGET']);
  expect(stdout).not.toContain(bench.run.id);
  expect(bench.warnings).toEqual([]);
});

test('`auto` prefers for scripts what has a path of its own, but not the disk itself; for the definition raw the first', async () => {
  await using bench = await openWorkbench();
  await using server = await serveRandom(bench);
  const far = provider('far', overNbd, { nbd: { socket: server.path, exportName: EXPORT_NAME } });
  const near = provider('near', { ok: true, what: 'a device' }, { path: '/dev/null' });
  const none = provider('none', { ok: true, what: 'the disk itself' }, { path: '/dev/null' });
  const full = provider('full', { ok: false, reason: 'it is full', isObstacle: true });
  const chosen = async (providers: readonly SnapshotProvider[], needsPath: boolean): Promise<string | undefined> => {
    const request = { index: 0, disk: { path: '/dev/null', access: 'rw' }, needsPath } as const;
    await using set = await bench.take('auto', [], { providers, requests: [request] });
    return set.snapshots[0]?.kind;
  };
  expect(await chosen([far, near, none], true)).toBe('near');
  expect(await chosen([far, near, none], false)).toBe('far');
  expect(await chosen([far, none], true)).toBe('far');
  expect(await chosen([far, full, none], true)).toBe('far');
  expect(await chosen([none, far], true)).toBe('none');
});
