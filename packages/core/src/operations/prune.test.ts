import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { deadClaim, readLineageExport, writeLineageExport } from '../../test/lineage-export.ts';
import { get, keysOf, put, sampleHeader, writeExport } from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from '../exports/list-exports.ts';
import { parseManifest } from '../exports/manifest.ts';
import { removeExport } from '../exports/remove-export.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { clearUnfinished, findUnfinished } from '../exports/unfinished.ts';
import { pruneStore } from './prune.ts';
import { tagExport } from './tag.ts';
import { verifyStore } from './verify-store.ts';

const NAME = 'web1.example.com';

let memory: Memory;
let store: MemoryStore;

beforeEach(async () => {
  memory = new Memory();
  store = new MemoryStore(memory);
  await writeExport(store, ['x'], {
    instance: 'db1',
    started: '2026-10-01T00:00:00.000Z',
    runId: 'r',
    tool: { name: 'gantry', version: '1' },
  });
});

/** One export a day from 2026-11-01 on, each with these frames, made on the one before. */
async function days(...disks: readonly (readonly string[])[]): Promise<readonly string[]> {
  const references: string[] = [];
  for (const [day, frames] of disks.entries()) {
    const started = new Date(Date.UTC(2026, 10, day + 1));
    references.push(await writeLineageExport(store, { instance: NAME, started, frames, parent: references.at(-1) }));
  }
  return references;
}

async function filesOf(reference: string | undefined): Promise<readonly string[]> {
  const prefix = `${directoryOf(reference)}/`;
  return (await keysOf(store, prefix)).map((key) => key.slice(prefix.length));
}

function directoryOf(reference: string | undefined): string {
  return (reference ?? '').replace('@', '/');
}

test('what a policy does not keep goes; packs in use stay; the rest goes with the next run', async () => {
  const [first, second, third] = await days(['a', 'b'], ['a', 'c'], ['a', 'd']);
  const result = await pruneStore({ store, policy: { last: 1 } });
  expect(result).toEqual({
    removed: [second, first],
    kept: 2,
    deletedBytes: 0,
    markedBytes: 1,
    unclear: [],
    damaged: [],
    refused: [],
    relabeled: [],
  });
  expect(await filesOf(first)).toEqual(['disk0.map', 'disk0.pack.img', 'removed.json']);
  expect(await filesOf(second)).toEqual(['disk0.map', 'disk0.pack.img', 'disk0.pack.img.unused', 'removed.json']);
  expect(await pruneStore({ store, policy: { last: 1 } })).toMatchObject({ removed: [], kept: 2, deletedBytes: 1, markedBytes: 0 });
  expect(await filesOf(first)).toEqual(['disk0.pack.img', 'removed.json']);
  expect(await filesOf(second)).toEqual([]);
  expect(await readLineageExport(store, third ?? '')).toEqual(['a', 'd']);
});

test('without a policy, only packs go', async () => {
  const [first, second] = await days(['a'], ['a', 'b']);
  await removeExport(store, first ?? '');
  await removeExport(store, second ?? '');
  expect(await pruneStore({ store, policy: {} })).toMatchObject({ removed: [], kept: 1, markedBytes: 1, deletedBytes: 0 });
  expect(await pruneStore({ store, policy: {} })).toMatchObject({ removed: [], markedBytes: 0, deletedBytes: 1 });
  expect((await keysOf(store)).every((key) => key.startsWith('db1/'))).toBe(true);
});

test('a dry run changes nothing, and says the same', async () => {
  await days(['a', 'b'], ['a', 'c'], ['a', 'd']);
  await pruneStore({ store, policy: { last: 2 } });
  const before = await keysOf(store);
  const calls: StoreCall[] = [];
  const watched = watchedStore(store, { before: (call) => void calls.push(call) });
  const dry = await pruneStore({ store: watched, policy: { last: 1 }, dryRun: true });
  expect(calls.filter((call) => /^(?:begin|remove|clear)/.test(call))).toEqual([]);
  expect(await keysOf(store)).toEqual(before);
  expect(await pruneStore({ store, policy: { last: 1 } })).toEqual(dry);
});

test('one instance: packs to which another one refers stay', async () => {
  const [first] = await days(['a', 'b'], ['c'], ['d']);
  await writeLineageExport(store, { instance: 'aaa', started: new Date('2026-11-01T00:00:00Z'), frames: ['b'], parent: first });
  await writeLineageExport(store, { instance: 'aaa', started: new Date('2026-11-02T00:00:00Z'), frames: ['e'] });
  expect(await pruneStore({ store, instances: [NAME], policy: { last: 1 } })).toMatchObject({ kept: 1, markedBytes: 1 });
  await pruneStore({ store, instances: [NAME], policy: { last: 1 } });
  expect(await filesOf(first)).toEqual(['disk0.pack.img', 'removed.json']);
  expect(await readLineageExport(store, 'aaa@20261101T000000Z')).toEqual(['b']);
});

test.each([
  ['of the same instance', NAME],
  ['of another instance', 'aaa'],
])('a marked pack to which an export %s refers stays', async (_whose, instance) => {
  const [first] = await days(['a']);
  const user = await writeLineageExport(store, { instance, started: new Date('2026-11-02T00:00:00Z'), frames: ['a', 'b'], parent: first });
  await removeExport(store, first ?? '');
  // A removal marks packs before its last look, which may find an export that was being made.
  await put(store, `${directoryOf(first)}/disk0.pack.img.unused`, '{}');
  for (const _run of [1, 2]) expect(await pruneStore({ store, policy: {} })).toMatchObject({ deletedBytes: 0, unclear: [] });
  expect(await readLineageExport(store, user)).toEqual(['a', 'b']);
});

test('tags keep exports', async () => {
  const [first, second] = await days(['a'], ['b'], ['c']);
  const key = `${(first ?? '').replace('@', '/')}/manifest.json`;
  await put(store, key, JSON.stringify({ ...parseManifest(await get(store, key), ''), tags: ['upgrade'] }));
  expect(await pruneStore({ store, policy: { tags: [['upgrade']] } })).toMatchObject({ removed: [second], kept: 3 });
});

describe('an export that gets a tag while prune runs', () => {
  const policy = { last: 1, tags: [['keep']] };

  test('stays, with all that it needs, although its removal was planned', async () => {
    const [first, second] = await days(['a', 'b'], ['a', 'c'], ['d']);
    let isTagged = false;
    const slow = watchedStore(store, {
      before: async (call) => {
        if (isTagged || call !== `begin ${directoryOf(second)}/removed.json`) return;
        isTagged = true;
        await tagExport({ store, export: first ?? '', add: ['keep'] });
        await tagExport({ store, export: second ?? '', add: ['keep'] });
      },
    });
    const result = await pruneStore({ store: slow, policy });
    expect(result).toMatchObject({ removed: [], relabeled: [second, first], kept: 4, markedBytes: 0 });
    expect((await keysOf(store)).filter((key) => key.includes('removed') || key.includes('unused'))).toEqual([]);
    expect(await pruneStore({ store, policy })).toMatchObject({ removed: [], relabeled: [], kept: 4 });
    expect(await readLineageExport(store, second ?? '')).toEqual(['a', 'c']);
  });

  test('too late is removed, and the tag is refused', async () => {
    const [first] = await days(['a'], ['b']);
    let refused: unknown;
    const slow = watchedStore(store, {
      before: async (call) => {
        if (call !== `remove ${directoryOf(first)}/manifest.json`) return;
        refused = await tagExport({ store, export: first ?? '', add: ['keep'] }).catch((error: unknown) => error);
      },
    });
    expect(await pruneStore({ store: slow, policy })).toMatchObject({ removed: [first], relabeled: [] });
    expect(refused).toMatchObject({ code: 'BUSY', message: expect.stringContaining('it is being removed') });
    expect(await filesOf(first)).not.toContain('labels-1.json');
  });

  test('can be tagged an hour after its removal was interrupted', async () => {
    const [first] = await days(['a'], ['b']);
    const key = `${directoryOf(first)}/removed.json`;
    await put(store, key, '{}');
    await expect(tagExport({ store, export: first ?? '', add: ['keep'] })).rejects.toMatchObject({ code: 'BUSY' });
    const object = memory.objects.get(key);
    if (object !== undefined) memory.objects.set(key, { ...object, modified: new Date(Date.now() - 3_700_000) });
    await expect(tagExport({ store, export: first ?? '', add: ['keep'] })).resolves.toMatchObject({ changed: true });
    expect(await pruneStore({ store, policy })).toMatchObject({ removed: [], kept: 3 });
  });

  test('leaves no labels beside what is left, when they come between the listing and the removal', async () => {
    const [first] = await days(['a'], ['a', 'b']);
    const slow = watchedStore(store, {
      before: async (call) => {
        if (call === `begin ${directoryOf(first)}/removed.json`) await tagExport({ store, export: first ?? '', add: ['keep'] });
      },
    });
    await removeExport(slow, first ?? '');
    expect(await filesOf(first)).toEqual(['disk0.pack.img', 'removed.json']);
  });
});

test('an export whose `removed.json` another run takes back is still known as removed', async () => {
  const [first] = await days(['a'], ['a', 'b']);
  const slow = watchedStore(store, {
    before: async (call) => {
      if (call === `remove ${directoryOf(first)}/manifest.json`) await store.remove([`${directoryOf(first)}/removed.json`]);
    },
  });
  await pruneStore({ store: slow, policy: { last: 1 } });
  expect(await filesOf(first)).toContain('removed.json');
});

test('a claim that stayed beside an export goes with it: clean takes none of the packs in use', async () => {
  const [first, second] = await days(['a', 'b'], ['a', 'c']);
  await put(store, `${(first ?? '').replace('@', '/')}/export.claim`, await deadClaim());
  await pruneStore({ store, policy: { last: 1 } });
  expect(await filesOf(first)).toEqual(['disk0.map', 'disk0.pack.img', 'removed.json']);
  for (const unfinished of await findUnfinished(store)) await clearUnfinished(store, unfinished);
  expect(await readLineageExport(store, second ?? '')).toEqual(['a', 'c']);
});

test('an export that a copy brought back, after another run deleted what was left of it, keeps its packs', async () => {
  const [first] = await days(['a', 'b'], ['c']);
  await pruneStore({ store, policy: { last: 1 } });
  const directory = (first ?? '').replace('@', '/');
  for (const [key, object] of memory.objects) if (key.startsWith(directory)) memory.objects.set(key, { ...object, modified: new Date(0) });
  let happened = false;
  const slow = watchedStore(store, {
    before: async (call) => {
      if (happened || !call.includes(directory) || /^(?:read|stat) /.test(call)) return;
      happened = true;
      await pruneStore({ store, policy: {} });
      expect(await filesOf(first)).toEqual([]);
      await writeLineageExport(store, { instance: NAME, started: new Date(Date.UTC(2026, 10, 1)), frames: ['a', 'b'] });
      await writeLineageExport(store, { instance: NAME, started: new Date(Date.UTC(2026, 10, 3)), frames: ['b', 'd'], parent: first });
      await removeExport(store, first ?? '');
    },
  });
  expect(await pruneStore({ store: slow, policy: {} })).toMatchObject({ deletedBytes: 0, markedBytes: 0 });
  expect(happened).toBe(true);
  expect(await readLineageExport(store, `${NAME}@20261103T000000Z`)).toEqual(['b', 'd']);
});

describe('the newest good one stays', () => {
  test.each([
    ['manifest', 'manifest.json', '{', 'unclear'],
    ['map', 'disk0.map', undefined, 'damaged'],
    ['pack', 'disk0.pack.img', 'too long', 'damaged'],
  ] as const)('newer ones without a good %s are not counted, and not removed', async (_what, file, content, where) => {
    const [first, second, third] = await days(['a'], ['b'], ['c']);
    const key = `${(third ?? '').replace('@', '/')}/${file}`;
    if (content === undefined) await store.remove([key]);
    else await put(store, key, content);
    const result = await pruneStore({ store, policy: { last: 1 } });
    expect(result).toMatchObject({ removed: [first], [where]: [expect.stringContaining(third ?? '')] });
    expect(await readLineageExport(store, second ?? '')).toEqual(['b']);
    expect(await filesOf(third)).toContain('manifest.json');
  });

  test('one that lacks a pack of another is not good, and no pack goes while it is so', async () => {
    const [first, second, third, fourth] = await days(['a'], ['b'], ['b', 'c'], ['d']);
    await removeExport(store, fourth ?? '');
    await store.remove([`${(second ?? '').replace('@', '/')}/disk0.pack.img`]);
    const result = await pruneStore({ store, policy: { last: 1 } });
    expect(result).toMatchObject({
      removed: [],
      markedBytes: 0,
      damaged: [expect.stringContaining(second ?? ''), expect.stringContaining(third ?? '')],
    });
    expect(result.unclear).toEqual([expect.stringContaining(`disk0.pack.img of ${second}`)]);
    expect(await readLineageExport(store, first ?? '')).toEqual(['a']);
  });

  test('one that an earlier verification found damaged is not counted, and not removed, until it is found sound', async () => {
    await initializeStore(store);
    const references: string[] = [];
    for (const day of [1, 2, 3]) {
      const header = { ...sampleHeader, instance: 'web1', started: `2026-11-0${day}T00:00:00.000Z` };
      references.push(await writeExport(store, [`day ${day}`], header));
    }
    const [first, second] = references;
    const dump = `${directoryOf(second)}/disk0.img`;
    const before = await get(store, dump);
    await put(store, dump, 'x'.repeat(before.length));
    await verifyStore({ store });
    expect(await pruneStore({ store, policy: { last: 2 } })).toMatchObject({
      removed: [],
      kept: 4,
      damaged: [expect.stringMatching(/^web1@20261102T000000Z is damaged: its verification of .* found: /)],
    });
    await put(store, dump, before);
    await verifyStore({ store });
    expect(await pruneStore({ store, policy: { last: 2 } })).toMatchObject({ removed: [first], damaged: [] });
  });

  test('an export that builds on a younger one comes from a clock that was behind: it stays', async () => {
    const [first, second] = await days(['a'], ['b']);
    const odd = await writeLineageExport(store, { instance: NAME, started: new Date(0), frames: ['b', 'c'], parent: second });
    expect(await pruneStore({ store, policy: { last: 1 } })).toMatchObject({ removed: [first], kept: 3 });
    expect(await readLineageExport(store, odd)).toEqual(['b', 'c']);
  });
});

test('an error of the store while it is looked through ends the run before anything changes', async () => {
  const references = await days(['a'], ['b'], ['c']);
  const before = await keysOf(store);
  const failing = watchedStore(store, {
    before: (call) => {
      if (call === `read ${(references[2] ?? '').replace('@', '/')}/manifest.json`)
        throw new StoreError('unavailable', { message: 'gone' });
    },
  });
  await expect(pruneStore({ store: failing, policy: { last: 1 } })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(await keysOf(store)).toEqual(before);
});

describe('in a full store', () => {
  /** Takes nothing; as soon as there is such a call, everything. */
  function fullUntil(hasSpace: (call: StoreCall) => boolean): ReturnType<typeof watchedStore> {
    let isFull = true;
    return watchedStore(store, {
      before: (call) => {
        isFull &&= !hasSpace(call);
        if (isFull && call.startsWith('commit')) throw new StoreError('full', { message: 'no space' });
      },
    });
  }
  const statesOf = async (): Promise<readonly unknown[]> =>
    (await Array.fromAsync(listExports(store, { instance: NAME }))).map(({ reference, state }) => [reference, state]);

  test('exports go, and packs that could not be marked are an error that says how to go on', async () => {
    const [first = '', second = '', third = ''] = await days(['a', 'b'], ['a', 'c'], ['d']);
    await expect(pruneStore({ store: fullUntil(() => false), policy: { last: 1 } })).rejects.toMatchObject({
      code: 'STORE_FULL',
      message: expect.stringMatching(`${second} is removed, and so is ${first}, .* no space to note that: .* listed as damaged`),
      hint: expect.stringMatching(`finish the removal: gantry remove .* ${second}`),
    });
    expect([await filesOf(first), await filesOf(second)]).toEqual([['disk0.pack.img'], ['disk0.pack.img']]);
    expect(await statesOf()).toEqual([
      [first, 'damaged'],
      [second, 'damaged'],
      [third, 'complete'],
    ]);
    for (const reference of [second, first]) await removeExport(store, reference);
    expect((await keysOf(store)).filter((key) => key.startsWith(NAME))).toHaveLength(3);
  });

  test('that has space once the last of the exports is gone, their packs are marked then', async () => {
    const [first = '', second = '', third = ''] = await days(['a', 'b'], ['a', 'c'], ['a', 'd']);
    const full = fullUntil((call) => call.startsWith(`remove ${directoryOf(first)}/manifest.json`));
    expect(await pruneStore({ store: full, policy: { last: 1 } })).toMatchObject({ removed: [second, first] });
    expect(await statesOf()).toEqual([[third, 'complete']]);
  });
});
