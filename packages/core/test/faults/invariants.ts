import { createHash } from 'node:crypto';
import { expect } from 'vitest';
import { compareExportIds } from '../../src/exports/export-id.ts';
import { MANIFEST_FILE } from '../../src/exports/layout.ts';
import { listExports } from '../../src/exports/list-exports.ts';
import { openExport } from '../../src/exports/open-export.ts';
import { readDump } from '../../src/exports/read-dump.ts';
import { MemoryBudget } from '../../src/frames/memory-budget.ts';
import { verifyExport } from '../../src/operations/verify.ts';
import type { Operation } from './operations.ts';
import type { Place } from './place.ts';
import type { World } from './world.ts';
import { opened } from './world.ts';

const BUDGET_BYTES = 64 * 1024 * 1024;

/** The contents of both places at one time. */
export type Contents = readonly ReadonlyMap<string, unknown>[];

export async function contentsOf(places: readonly Place[]): Promise<Contents> {
  return await Promise.all(places.map(async (place) => new Map(await place.contents())));
}

/** Whether nothing has changed. */
function areSame(a: ReadonlyMap<string, unknown> | undefined, b: ReadonlyMap<string, unknown>): boolean {
  return a?.size === b.size && [...b].every(([key, object]) => a.get(key) === object);
}

/**
 * What must hold after each fault, whether the operation failed or not: what lists as complete verifies, and holds what it should; what was
 * complete before still is; and nothing lists as damaged, but what a full store had no space to note.
 *
 * @param before contents that are known to be sound
 * @param options.checked contents for which this is known to hold
 * @param options.isFull the operation said that a store is full
 * @returns the contents
 */
export async function expectNothingLost(
  world: World,
  before: Contents,
  places: readonly Place[],
  { staying, removesNewest = false, emptiesOther = false }: Operation,
  { checked = before, isFull = false }: { readonly checked?: Contents; readonly isFull?: boolean },
): Promise<Contents> {
  const contents = await contentsOf(places);
  for (const [side, place] of places.entries()) {
    const was = before[side] ?? new Map<string, unknown>();
    const is = contents[side] ?? was;
    if (areSame(checked[side], is)) continue;
    if (!isFull) expect(await damagedIn(place), 'damaged exports').toEqual([]);
    const [there, now] = [exportsIn(was), exportsIn(is)];
    const isEmptied = side === 1 && emptiesOther;
    const stays = isEmptied ? [] : side === 0 && staying !== undefined ? staying([...world.disks.keys()]) : there;
    for (const reference of stays) expect(now, 'exports').toContain(reference);
    const isUntouched = [...was].every(([key, object]) => is.get(key) === object);
    if (isUntouched && now.length === there.length) continue;
    const held: string[] = [];
    for (const reference of now) {
      const expected = world.disks.get(reference) ?? world.now;
      if (!isUntouched || !there.includes(reference)) expect(await readSound(place, reference), reference).toEqual(expected);
      held.push(expected.join());
    }
    // Also where another export took its place.
    const newest = there.at(-1);
    if (newest === undefined || isEmptied || (side === 0 && removesNewest)) continue;
    expect(held, 'what the newest export holds').toContain((world.disks.get(newest) ?? world.now).join());
  }
  return contents;
}

/** The exports of the instance that list as complete, oldest first: `…Z-2` is younger than `…Z`, and stores list it before that. */
export function exportsIn(contents: ReadonlyMap<string, unknown>): readonly string[] {
  const manifests = [...contents.keys()].filter((key) => key.endsWith(`/${MANIFEST_FILE}`)).map((key) => key.split('/'));
  return manifests.toSorted(([, a = ''], [, b = '']) => compareExportIds(a, b)).map(([instance, id]) => `${instance}@${id}`);
}

async function damagedIn(place: Place): Promise<readonly string[]> {
  await using store = await place.open();
  const listed = await Array.fromAsync(listExports(store));
  return listed.flatMap(({ state, reference, reason }) => (state === 'damaged' ? [`${reference}: ${reason}`] : []));
}

/** Verifies an export, and reads it. @returns the SHA-256 of each disk */
async function readSound(place: Place, reference: string): Promise<readonly string[]> {
  await using raw = await place.open();
  const store = opened(raw);
  await verifyExport({ store, export: reference, depth: 'frames' });
  const found = await openExport(store, reference);
  const { signal } = new AbortController();
  const digests: string[] = [];
  for (const dump of found.dumps) {
    const hash = createHash('sha256');
    for await (const piece of readDump(found, dump, { budget: new MemoryBudget(BUDGET_BYTES), signal, warn: () => {} }))
      hash.update(piece instanceof Uint8Array ? piece : Buffer.alloc(piece.zeros));
    digests.push(hash.digest('hex'));
  }
  return digests;
}
