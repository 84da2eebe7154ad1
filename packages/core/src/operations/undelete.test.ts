import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { expect, test } from 'vitest';
import { deadClaim } from '../../test/lineage-export.ts';
import type { OperationBench } from '../../test/operation-bench.ts';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import { keysOf, put, sampleHeader } from '../../test/sample-export.ts';
import { VersionedStore } from '../../test/versioned-store.ts';
import { CLAIM_FILE, MANIFEST_FILE, REMOVED_FILE, STORE_MARKER_FILE } from '../exports/layout.ts';
import { removeExport } from '../exports/remove-export.ts';
import { storeId } from '../exports/store-marker.ts';
import { findUnfinished } from '../exports/unfinished.ts';
import { pruneStore } from './prune.ts';
import { undelete } from './undelete.ts';
import { verifyExport } from './verify.ts';

interface Lineage extends AsyncDisposable {
  readonly versioned: VersionedStore;
  readonly store: Store;
  readonly bench: OperationBench;
  /** Full; the second needs its first disk; the third needs the second disk of the second. */
  readonly references: readonly [string, string, string];
  readonly key: (reference: string, name: string) => string;
}

async function makeLineage(): Promise<Lineage> {
  const versioned = new VersionedStore();
  const bench = await makeOperationBench({ disks: 2, store: versioned.store });
  const [first = '', second = ''] = bench.instance.disks.map(({ path }) => path);
  const next = async (changed?: string): Promise<string> => {
    if (changed !== undefined) await writeFile(changed, randomBytes(DISK_BYTES));
    return (await bench.exportDisks({ incremental: true })).reference;
  };
  const references = [await next(), await next(second), await next(first)] as const;
  const key = (reference: string, name: string): string => `${reference.replace('@', '/')}/${name}`;
  return { versioned, store: versioned.store, bench, references, key, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
}

/** Everything that no export needs goes: the first run marks, the second deletes. */
async function pruneTwice(store: Store): Promise<void> {
  for (const _ of [1, 2]) await pruneStore({ store, policy: {} });
}

async function expectSound(store: Store, reference: string): Promise<void> {
  await verifyExport({ store, export: reference });
  expect((await keysOf(store)).filter((key) => key.endsWith(CLAIM_FILE))).toEqual([]);
}

test('an export that needs a dump which is marked to be deleted stays away until that is done, and then comes back', async () => {
  await using lineage = await makeLineage();
  const { versioned, store, references, key } = lineage;
  const [first, second] = references;
  await removeExport(store, first);
  await pruneStore({ store, policy: { last: 1 } });
  expect(await keysOf(store)).toContain(key(first, 'disk0.zst.unused'));
  const outcomes: unknown[] = [];
  // A prune has looked, and is about to delete the dump.
  versioned.beforeRemoval = async () => {
    outcomes.push(...(await undelete({ store, export: second })));
  };
  await pruneStore({ store, policy: { last: 5 } });
  expect(outcomes).toEqual([
    expect.objectContaining({ outcome: 'busy', code: 'BUSY', reason: expect.stringMatching(/disk0\.zst is marked.*gantry prune/) }),
  ]);
  expect(await keysOf(store)).not.toContain(key(second, MANIFEST_FILE));
  expect(await undelete({ store, export: second })).toMatchObject([{ outcome: 'restored' }]);
  await expectSound(store, second);
  expect((await pruneStore({ store, policy: { last: 5 } })).unclear).toEqual([]);
  await pruneTwice(store);
  await expectSound(store, second);
});

test('a prune that knew a dump before another one deleted it leaves it alone once it is back', async () => {
  await using lineage = await makeLineage();
  const { versioned, store, references, key } = lineage;
  const [first, second] = references;
  await removeExport(store, first);
  await pruneStore({ store, policy: { last: 1 } });
  // Marked, and still there: a second run deletes it, and the export is back before the first goes on.
  const other = alterStore(store, {
    list: (prefix, options) => {
      if (prefix === `${first.replace('@', '/')}/` && later !== undefined) {
        const run = later;
        later = undefined;
        return afterwards(run, () => store.list(prefix, options));
      }
      return store.list(prefix, options);
    },
  });
  let later: (() => Promise<void>) | undefined = async () => {
    await pruneStore({ store, policy: { last: 5 } });
    expect(await keysOf(store)).not.toContain(key(first, 'disk0.zst'));
    expect(await undelete({ store, export: second })).toMatchObject([{ outcome: 'restored' }]);
  };
  await pruneStore({ store: other, policy: { last: 5 } });
  expect(later).toBeUndefined();
  expect(versioned.beforeRemoval).toBeUndefined();
  await expectSound(store, second);
});

async function* afterwards<T>(first: () => Promise<void>, rest: () => AsyncIterable<T>): AsyncGenerator<T> {
  await first();
  yield* rest();
}

test('dumps that a prune begins to remove while the export comes back stay: the claim names their export', async () => {
  await using lineage = await makeLineage();
  const { versioned, store, references, key } = lineage;
  const [first, second, third] = references;
  for (const reference of [third, second, first]) await removeExport(store, reference);
  await pruneTwice(store);
  versioned.onceBeforeReturn(MANIFEST_FILE, async () => {
    await pruneTwice(store);
    expect(await keysOf(store)).toContain(key(first, 'disk0.zst'));
  });
  expect(await undelete({ store, export: second })).toMatchObject([{ outcome: 'restored' }]);
  await expectSound(store, second);
});

test('dumps, descriptions and the mark of the store that were removed alone come back although the manifests are there', async () => {
  await using lineage = await makeLineage();
  const { store, references, key } = lineage;
  const [first, second, third] = references;
  const id = await storeId(store);
  const removed = (await keysOf(store)).filter((name) => !name.endsWith(MANIFEST_FILE));
  await store.remove([...removed, STORE_MARKER_FILE]);
  expect((await undelete({ store })).map(({ reference }) => reference)).toEqual([...references]);
  // Its own dump is not all that it needs.
  expect(await undelete({ store, export: second })).toMatchObject([{ outcome: 'restored' }]);
  await expectSound(store, second);
  expect(await storeId(store)).toBe(id);
  expect(await undelete({ store, export: third.split('@')[0] })).toMatchObject([{ outcome: 'restored' }, { outcome: 'restored' }]);
  for (const reference of references) await expectSound(store, reference);
  expect(await keysOf(store)).toEqual(expect.arrayContaining(removed));
  expect(await undelete({ store })).toEqual([]);
  await store.remove([key(first, 'disk0.zst')]);
  expect((await undelete({ store })).map(({ reference }) => reference)).toEqual([first, second]);
});

test('where something is gone for good, the manifest stays away, and dumps of others can be deleted', async () => {
  await using lineage = await makeLineage();
  const { versioned, store, references, key } = lineage;
  const [, second, third] = references;
  await removeExport(store, third);
  await pruneTwice(store);
  const hidden = (await Array.fromAsync(store.hidden?.(key(third, '')) ?? [])).map((object) => object.key);
  versioned.lose(hidden.find((name) => /disk0.*zst$/.test(name)) ?? '');
  expect(await undelete({ store, export: third })).toMatchObject([{ outcome: 'incomplete', code: 'DUMP_MISSING' }]);
  expect(await keysOf(store)).not.toContain(key(third, MANIFEST_FILE));
  expect((await pruneStore({ store, policy: {} })).unclear).toEqual([]);
  expect(await undelete({ store })).toMatchObject([{ reference: third }]);
  await expectSound(store, second);
});

test.each(['SHA256SUMS', 'disk0.zst', MANIFEST_FILE])('a call that failed before %s came back is repeated', async (name) => {
  await using lineage = await makeLineage();
  const { versioned, store, references, key } = lineage;
  const [first, second, third] = references;
  for (const reference of [third, second, first]) await removeExport(store, reference);
  await pruneTwice(store);
  versioned.onceBeforeReturn(name, async () => {
    throw new Error('interrupted');
  });
  await expect(undelete({ store, export: second })).rejects.toThrow('interrupted');
  expect(await findUnfinished(store)).toEqual([]);
  // As a killed one leaves it, beside files and `removed.json`.
  await put(store, key(second, CLAIM_FILE), (await deadClaim()).replace(sampleHeader.runId, 'gantry-undelete-1'));
  expect(await undelete({ store, export: second })).toMatchObject([{ outcome: 'restored' }]);
  await expectSound(store, second);
  expect(await keysOf(store)).not.toContain(key(second, REMOVED_FILE));
});

test('what still says that the export was removed goes when it is named once more', async () => {
  await using lineage = await makeLineage();
  const { store, references, key } = lineage;
  const [, , third] = references;
  await put(store, key(third, REMOVED_FILE), '{}');
  expect(await undelete({ store })).toEqual([]);
  expect(await undelete({ store, export: third })).toMatchObject([{ outcome: 'restored' }]);
  expect(await keysOf(store)).not.toContain(key(third, REMOVED_FILE));
  await expect(undelete({ store, export: third })).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
});

test('a place that another run has claimed is left alone', async () => {
  await using lineage = await makeLineage();
  const { store, references, key } = lineage;
  const [, , third] = references;
  await removeExport(store, third);
  await put(store, key(third, CLAIM_FILE), await deadClaim());
  expect(await undelete({ store, export: third })).toMatchObject([{ outcome: 'busy', reason: expect.stringContaining('gantry clean') }]);
  expect(await keysOf(store)).toContain(key(third, CLAIM_FILE));
});
