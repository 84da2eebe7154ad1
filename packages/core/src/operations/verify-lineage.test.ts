import { open } from 'node:fs/promises';
import { alterStore } from '@gantry/transport';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { getBytes, keysOf, put } from '../../test/sample-export.ts';
import { removeExport } from '../exports/remove-export.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { diffExports } from './diff.ts';
import { listStore } from './list-store.ts';
import { verifyExport } from './verify.ts';
import type { VerifyStoreRequest, VerifyStoreResult } from './verify-store.ts';
import { verifyStore } from './verify-store.ts';

let bench: OperationBench;
/** Three exports of one disk with three frames, each of which stores one more frame. */
let references: readonly string[];

beforeEach(async () => {
  bench = await makeOperationBench({});
  const made: string[] = [];
  for (const [index, content] of ['a', 'b', 'c'].entries()) {
    await using file = await open(bench.instance.disks[0]?.path ?? '', 'r+');
    await file.truncate(3 * FRAME_SIZE);
    await file.write(Buffer.alloc(FRAME_SIZE, content), 0, FRAME_SIZE, index * FRAME_SIZE);
    made.push((await bench.exportDisks({ codec: 'none', incremental: true })).reference);
  }
  references = made;
});

afterEach(() => bench[Symbol.asyncDispose]());

function verify(request: Partial<VerifyStoreRequest> = {}): Promise<VerifyStoreResult> {
  return verifyStore({ store: bench.store, stateDirectory: bench.directory.file('state'), ...request });
}

function resultsOf({ exports }: VerifyStoreResult): Record<string, string> {
  return Object.fromEntries(exports.map(({ reference, kind, result, code }) => [reference, `${kind} ${code ?? result}`]));
}

function prefixOf(reference = ''): string {
  return `${reference.replace('@', '/')}/`;
}

/** The only dump or pack in the directory of an export. */
async function packOf(reference = ''): Promise<string> {
  return (await keysOf(bench.store, prefixOf(reference))).find((key) => /disk0(\.pack)?\.img$/.test(key)) ?? '';
}

async function damage(key: string): Promise<void> {
  const bytes = await getBytes(bench.store, key);
  await put(bench.store, key, bytes.fill(1, 100, 200));
}

test('each pack is read once, no matter how many exports refer to it', async () => {
  const reads: string[] = [];
  const store = alterStore(bench.store, {
    read: (key, options) => {
      if (key.endsWith('.img')) reads.push(key);
      return bench.store.read(key, options);
    },
  });
  expect(resultsOf(await verify({ store }))).toEqual(Object.fromEntries(references.map((each) => [each, 'export sound'])));
  const packs = await Promise.all(references.map((each) => packOf(each)));
  expect(reads.toSorted()).toEqual(packs.toSorted());
});

test.each([['stored'], ['frames']] as const)('damage in a pack is damage in every export that needs it (%s)', async (depth) => {
  await damage(await packOf(references[1]));
  const [first = '', second = '', third = ''] = references;
  const expected = { [first]: 'export sound', [second]: 'export DUMP_DAMAGED', [third]: 'export DUMP_DAMAGED' };
  expect(resultsOf(await verify({ depth }))).toEqual(expected);
  const { exports } = await listStore({ store: bench.store, stateDirectory: bench.directory.file('state') });
  expect(exports.map(({ state }) => state)).toEqual(['complete', 'damaged', 'damaged']);
});

test('an export is as verified as the directory that was verified the longest time ago', async () => {
  const list = async (): Promise<readonly unknown[]> => {
    const { exports } = await listStore({ store: bench.store, stateDirectory: bench.directory.file('state') });
    return exports.map(({ verified }) => verified?.depth);
  };
  await verify({ budget: { bytes: 1 } });
  expect(await list()).toEqual(['stored', undefined, undefined]);
  await verify({ budget: { bytes: 1 } });
  expect(await list()).toEqual(['stored', 'stored', undefined]);
});

test('what is kept of a removed export is verified, and is damage in those that need it', async () => {
  const [first = '', second = '', third = ''] = references;
  await removeExport(bench.store, first);
  const sound = { [first]: 'packs sound', [second]: 'export sound', [third]: 'export sound' };
  expect(resultsOf(await verify())).toEqual(sound);
  await damage(await packOf(first));
  const damaged = { [first]: 'packs DUMP_DAMAGED', [second]: 'export DUMP_DAMAGED', [third]: 'export DUMP_DAMAGED' };
  expect(resultsOf(await verify())).toEqual(damaged);
});

test('packs in a directory that is damaged at sight are verified, because others need them', async () => {
  const [first = '', second = '', third = ''] = references;
  await put(bench.store, `${prefixOf(second)}manifest.json`, 'not a manifest');
  const sound = { [first]: 'export sound', [second]: 'export MANIFEST_DAMAGED', [third]: 'export sound' };
  expect(resultsOf(await verify())).toEqual(sound);
  expect(await listed()).toEqual(['complete sound', 'damaged', 'complete sound']);
  await damage(await packOf(second));
  expect(resultsOf(await verify())).toEqual({ ...sound, [third]: 'export DUMP_DAMAGED' });
  expect(await listed()).toEqual(['complete sound', 'damaged', 'damaged damaged']);
});

test('packs of removed exports take their turn at depth frames as well, and no other turn', async () => {
  await removeExport(bench.store, references[0] ?? '');
  const seen = new Set<string>();
  for (let run = 0; run < 3; run += 1) {
    const { exports } = await verify({ depth: 'frames', budget: { bytes: 1 } });
    for (const { reference } of exports) seen.add(reference);
  }
  expect([...seen].toSorted()).toEqual(references.toSorted());
});

describe('a listing', () => {
  test('shows damage in one directory, although the others that an export needs were never verified', async () => {
    await damage(await packOf(references[0]));
    expect(await verify({ budget: { bytes: 1 } })).toMatchObject({ left: 2 });
    expect(await listed()).toEqual(['damaged damaged', 'damaged damaged', 'damaged damaged']);
  });

  test.each([
    ['all of the store', () => verify()],
    ['that export', verifyFirst],
  ])('keeps damage beside a pack to the export that it belongs to (%s verified)', async (_what, verifyThat) => {
    const key = `${prefixOf(references[0])}config.ini`;
    await put(bench.store, key, 'other');
    await verify();
    await verifyThat();
    expect(await listed()).toEqual(['damaged damaged', 'complete sound', 'complete sound']);
  });

  test('shows damage until a verification that would have found it finds nothing', async () => {
    const key = await packOf(references[0]);
    const before = await getBytes(bench.store, key);
    await damage(key);
    await verify({ depth: 'frames' });
    await put(bench.store, key, before);
    await verify({ depth: 'stored' });
    expect(await listed()).toEqual(['damaged damaged', 'damaged damaged', 'damaged damaged']);
    await verify({ depth: 'frames' });
    expect(await listed()).toEqual(['complete sound', 'complete sound', 'complete sound']);
  });
});

async function verifyFirst(): Promise<void> {
  const remember = { stateDirectory: bench.directory.file('state') };
  await verifyExport({ store: bench.store, export: references[0] ?? '', depth: 'stored', remember }).catch(() => undefined);
}

/** State of each export, and the result of its last verification. */
async function listed(): Promise<readonly string[]> {
  const { exports } = await listStore({ store: bench.store, stateDirectory: bench.directory.file('state') });
  return exports.map(({ state, verified }) => (verified === undefined ? state : `${state} ${verified.result}`));
}

test('a listing says what removing an export would give back, and a comparison goes by maps alone', async () => {
  const { store } = bench;
  const { exports } = await listStore({ store });
  const own = exports.map(({ ownBytes, storedBytes = 0 }) => ({
    packs: Math.floor(ownBytes / FRAME_SIZE),
    stored: storedBytes / FRAME_SIZE,
  }));
  // The first export stores zeros too, and the others need its frames.
  expect(own).toEqual([
    { packs: 0, stored: 3 },
    { packs: 0, stored: 1 },
    { packs: 1, stored: 1 },
  ]);
  const [first = '', , third = ''] = references;
  const { disks } = await diffExports({ store, first, second: third });
  expect(disks).toMatchObject([{ added: { frames: 2, bytes: 2 * FRAME_SIZE }, gone: { frames: 0 }, by: 'maps' }]);
});
