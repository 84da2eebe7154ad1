import { StoreError, thisProcess } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { beforeEach, describe, expect, test } from 'vitest';
import { deadClaim, readLineageExport, writeLineageExport } from '../../test/lineage-export.ts';
import { get, keysOf, put, writeExport } from '../../test/sample-export.ts';
import type { Watching } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { claimExport } from './claim.ts';
import { keepUnfinished } from './cut-off.ts';
import { listExports } from './list-exports.ts';
import { openExport } from './open-export.ts';
import { packsInUse } from './pack-uses.ts';
import { removeExport } from './remove-export.ts';
import { surveyStore } from './survey.ts';
import { clearUnfinished, findUnfinished } from './unfinished.ts';
import { readUsablePacks } from './usable-packs.ts';

const NAME = 'web1.example.com';
const DAY_1 = '20261101T000000Z';
const DAY_2 = '20261102T000000Z';
const FIRST = `${NAME}@${DAY_1}`;
const SECOND = `${NAME}@${DAY_2}`;
const PACK = { instance: NAME, exportId: DAY_1, name: 'disk0.pack.img', size: 2 };

let memory: Memory;
let store: MemoryStore;

beforeEach(async () => {
  memory = new Memory();
  store = new MemoryStore(memory);
  await writeExport(store, ['x'], {
    instance: 'db1.example.com',
    started: '2026-10-01T00:00:00.000Z',
    runId: 'r',
    tool: { name: 'gantry', version: '1' },
  });
});

/** Two exports, the second of which has a frame of the first. */
async function twoExports(): Promise<void> {
  await writeLineageExport(store, { instance: NAME, started: new Date('2026-11-01T00:00:00Z'), frames: ['a', 'b'] });
  await writeLineageExport(store, { instance: NAME, started: new Date('2026-11-02T00:00:00Z'), frames: ['a', 'c'], parent: FIRST });
}

async function filesOf(id: string): Promise<readonly string[]> {
  return (await keysOf(store, `${NAME}/${id}/`)).map((key) => key.slice(`${NAME}/${id}/`.length));
}

test('packs to which another export refers stay, and the export is gone for everything else', async () => {
  await twoExports();
  expect(await removeExport(store, FIRST)).toEqual({ keptBytes: 2, unclear: [] });
  expect(await filesOf(DAY_1)).toEqual(['disk0.pack.img', 'removed.json']);
  expect(JSON.parse(await get(store, `${NAME}/${DAY_1}/removed.json`))).toMatchObject({ format: 'gantry-removed', version: 1 });
  expect(await readLineageExport(store, SECOND)).toEqual(['a', 'c']);
  expect((await Array.fromAsync(listExports(store, { instance: NAME }))).map(({ reference }) => reference)).toEqual([SECOND]);
  await expect(openExport(store, FIRST)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
});

test('packs to which nothing refers any more go with the last export that did, once they are removed again', async () => {
  await twoExports();
  await removeExport(store, FIRST);
  await removeExport(store, SECOND);
  expect(await filesOf(DAY_2)).toEqual([]);
  expect(await removeExport(store, FIRST)).toEqual({ keptBytes: 0, unclear: [] });
  expect(await filesOf(DAY_1)).toEqual([]);
});

test('an export of another instance may refer to them, too', async () => {
  await twoExports();
  await writeLineageExport(store, { instance: 'aaa', started: new Date('2026-11-03T00:00:00Z'), frames: ['b'], parent: FIRST });
  await removeExport(store, SECOND);
  expect((await removeExport(store, FIRST)).keptBytes).toBe(2);
  expect(await readLineageExport(store, 'aaa@20261103T000000Z')).toEqual(['b']);
});

test('an export that is being made may refer to all packs of its parents', async () => {
  await twoExports();
  await removeExport(store, SECOND);
  const claim = { instance: 'zzz', started: new Date(), runId: 'r', tool: { name: 'gantry', version: '1' }, parents: [FIRST] };
  await claimExport(store, claim, {});
  expect((await removeExport(store, FIRST)).keptBytes).toBe(2);
});

describe('while anything is unclear, no pack goes', () => {
  const clean = async (): Promise<void> => {
    await writeLineageExport(store, { instance: NAME, started: new Date('2026-11-01T00:00:00Z'), frames: ['a', 'b'] });
  };

  test.each([
    ['a damaged manifest', 'other/20261101T000000Z/manifest.json', '{', /manifest\.json of other@.* is damaged/],
    ['a manifest of a later version', 'other/20261101T000000Z/manifest.json', '{"format":"gantry-export","version":9}', /has version 9/],
    ['a damaged claim', 'other/20261101T000000Z/export.claim', '{', /export\.claim of other@.* is damaged/],
    ['a frame map without manifest', 'other/20261101T000000Z/disk0.map', 'gantry-frame-map 1', /manifest\.json of other@.* is missing/],
  ])('%s', async (_what, key, text, why) => {
    await clean();
    await put(store, key, text);
    expect(await removeExport(store, FIRST)).toEqual({ keptBytes: 2, unclear: [expect.stringMatching(why)] });
    expect(await filesOf(DAY_1)).toEqual(['disk0.pack.img', 'removed.json']);
    await store.remove([key]);
    expect(await removeExport(store, FIRST)).toEqual({ keptBytes: 0, unclear: [] });
  });

  test.each(['read db1.example.com/20261001T000000Z/manifest.json', 'list '])('an error of the store: %s', async (failing) => {
    await clean();
    await store.remove(['db1.example.com/20261001T000000Z/frames.table']);
    const failed = watchedStore(store, { after: failOn((call) => call === failing) });
    await expect(removeExport(failed, FIRST)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await filesOf(DAY_1)).toContain('disk0.pack.img');
  });
});

function failOn(isBad: (call: string) => boolean, code: 'unavailable' | 'full' = 'unavailable'): NonNullable<Watching['after']> {
  return (call) => {
    if (isBad(call)) throw new StoreError(code, { message: 'gone' });
  };
}

describe('in a full store', () => {
  const full = (): MemoryStore | ReturnType<typeof watchedStore> =>
    watchedStore(store, { before: failOn((call) => call.startsWith('commit'), 'full') });

  test('an export goes to which nothing refers', async () => {
    await twoExports();
    await removeExport(full(), SECOND);
    expect(await filesOf(DAY_2)).toEqual([]);
  });

  test('packs in use stay, nothing new refers to them, and it is an error that they could not be marked', async () => {
    await twoExports();
    await expect(removeExport(full(), FIRST)).rejects.toMatchObject({
      code: 'STORE_FULL',
      message: expect.stringContaining(`${FIRST} is removed, but dumps stay for other exports, and there is no space to note that`),
      hint: expect.stringMatching(`gantry remove .* ${FIRST}`),
    });
    expect(await readLineageExport(store, SECOND)).toEqual(['a', 'c']);
    expect((await readUsablePacks(store, [NAME])).has(PACK)).toBe(false);
    await writeLineageExport(store, { instance: NAME, started: new Date('2026-11-03T00:00:00Z'), frames: ['a', 'c'], parent: SECOND });
    await removeExport(store, SECOND);
    await removeExport(store, FIRST);
    expect(await filesOf(DAY_1)).toEqual([]);
    expect(await readLineageExport(store, `${NAME}@20261103T000000Z`)).toEqual(['a', 'c']);
  });
});

describe('in a store that is full when packs are to be marked, where a claim came after the first look', () => {
  /** Takes `removed.json`; then nothing, until the claim was seen. */
  async function removeBesideClaim(hasSpaceLater: boolean): Promise<unknown> {
    await writeLineageExport(store, { instance: NAME, started: new Date('2026-11-01T00:00:00Z'), frames: ['a', 'b'] });
    const claim = { instance: 'zzz', started: new Date(), runId: 'r', tool: { name: 'gantry', version: '1' }, parents: [FIRST] };
    const [mark, note] = [`${NAME}/${DAY_1}/disk0.pack.img.unused`, `${NAME}/${DAY_1}/removed.json`];
    let isClaimed = false;
    const filling = watchedStore(store, {
      before: async (call) => {
        if (call.startsWith('commit') && isClaimed && !hasSpaceLater) throw new StoreError('full', { message: 'no space' });
        if (call === `commit ${mark}` && !isClaimed) throw new StoreError('full', { message: 'no space' });
        if (call !== `remove ${note}`) return;
        await claimExport(store, claim, {});
        isClaimed = true;
      },
    });
    return await removeExport(filling, FIRST);
  }

  test('the packs that it keeps are those of a removed export, once there is space', async () => {
    expect(await removeBesideClaim(true)).toEqual({ keptBytes: 2, unclear: [] });
    expect(await filesOf(DAY_1)).toEqual(['disk0.pack.img', 'disk0.pack.img.unused', 'removed.json']);
    expect(await Array.fromAsync(listExports(store, { instance: NAME }))).toEqual([]);
  });

  test('it is an error that they look like those of a damaged export, as long as there is none', async () => {
    await expect(removeBesideClaim(false)).rejects.toMatchObject({ code: 'STORE_FULL' });
    expect(await filesOf(DAY_1)).toEqual(['disk0.pack.img']);
    expect(await removeExport(store, FIRST)).toEqual({ keptBytes: 2, unclear: [] });
    expect(await filesOf(DAY_1)).toContain('removed.json');
  });
});

describe('one of two sees the other', () => {
  const first = { instance: NAME, started: new Date('2026-11-01T00:00:00Z'), frames: ['a', 'b'] };
  const second = { instance: NAME, started: new Date('2026-11-02T00:00:00Z'), frames: ['a'], parent: FIRST };

  /** Removes the first export; right before that call of the store, something else happens. */
  async function removeBut(call: string, meanwhile: () => Promise<void>): Promise<unknown> {
    let happened = false;
    const meeting = watchedStore(store, {
      before: async (now) => {
        if (happened || now !== call) return;
        happened = true;
        await meanwhile();
      },
    });
    const result = await removeExport(meeting, FIRST);
    expect(happened).toBe(true);
    return result;
  }

  test('an export whose claim comes after the last look finds the mark', async () => {
    await writeLineageExport(store, first);
    const atEnd = Promise.withResolvers<void>();
    const written = Promise.withResolvers<void>();
    let removed: Promise<unknown> | undefined;
    const step = async (at: string): Promise<void> => {
      if (at !== 'read') return;
      removed = removeBut(`remove ${NAME}/${DAY_1}/disk0.pack.img`, async () => {
        atEnd.resolve();
        await written.promise;
      });
      await atEnd.promise;
    };
    await writeLineageExport(store, { ...second, step });
    written.resolve();
    expect(await removed).toEqual({ keptBytes: 0, unclear: [] });
    expect(await readLineageExport(store, SECOND)).toEqual(['a']);
  });

  test('a removal finds a claim that came after its first look, and keeps the packs', async () => {
    await writeLineageExport(store, first);
    const atMark = Promise.withResolvers<void>();
    const looked = Promise.withResolvers<void>();
    let removed: Promise<unknown> | undefined;
    const step = async (at: string): Promise<void> => {
      if (at === 'read') {
        removed = removeBut(`begin ${NAME}/${DAY_1}/disk0.pack.img.unused`, async () => {
          atMark.resolve();
          await looked.promise;
        });
        await atMark.promise;
      }
      // It has seen no mark; the mark comes now.
      if (at !== 'looked') return;
      looked.resolve();
      expect(await removed).toEqual({ keptBytes: 2, unclear: [] });
    };
    await writeLineageExport(store, { ...second, step });
    expect(await readLineageExport(store, SECOND)).toEqual(['a']);
    expect(await filesOf(DAY_1)).toEqual(['disk0.pack.img', 'disk0.pack.img.unused', 'removed.json']);
  });
});

describe('an export whose claim stayed beside it', () => {
  const changes = /^(?:commit|remove) /;

  async function clean(): Promise<readonly string[]> {
    const found = await findUnfinished(store);
    for (const unfinished of found) {
      expect(await keepUnfinished(store, unfinished, { runId: 'r', readBack: true })).toBe('nothing');
      expect(await clearUnfinished(store, unfinished)).toBe('cleared');
    }
    return found.map(({ name, complete, removed }) => `${name} ${complete ? 'complete' : ''}${removed ? 'removed' : ''}`);
  }

  /** Removes the first export; the process is killed after this many calls that change something. @returns whether it was */
  async function removeUntil(calls: number): Promise<boolean> {
    let left = calls;
    const dying = watchedStore(store, {
      before: (call) => {
        if (!changes.test(call)) return;
        left -= 1;
        if (left < 0) throw new StoreError('unavailable', { message: 'killed' });
      },
    });
    return await removeExport(dying, FIRST).then(
      () => false,
      () => true,
    );
  }

  test.each([0, 1, 2, 3, 4, 5, 6])('and whose removal is killed after %i calls: clean takes none of the packs in use', async (calls) => {
    await twoExports();
    await put(store, `${NAME}/${DAY_1}/export.claim`, await deadClaim());
    expect(await removeUntil(calls)).toBe(calls < 6);
    expect(await clean()).toEqual(calls < 2 ? [`${FIRST} complete`] : []);
    expect(await readLineageExport(store, SECOND)).toEqual(['a', 'c']);
    expect((await removeExport(store, FIRST)).keptBytes).toBe(2);
    expect(await filesOf(DAY_1)).toEqual(['disk0.pack.img', 'removed.json']);
  });

  test.each(['removed.json', 'disk0.pack.img.unused'])('even if its manifest has gone before its claim: %s shows it', async (sign) => {
    await twoExports();
    await removeExport(store, FIRST);
    const record = await get(store, `${NAME}/${DAY_1}/removed.json`);
    await store.remove([`${NAME}/${DAY_1}/removed.json`]);
    await put(store, `${NAME}/${DAY_1}/${sign}`, record);
    await put(store, `${NAME}/${DAY_1}/disk0.map`, 'map');
    await put(store, `${NAME}/${DAY_1}/export.claim`, await deadClaim());
    expect(await clean()).toEqual([`${FIRST} removed`]);
    expect(await filesOf(DAY_1)).toEqual(['disk0.map', 'disk0.pack.img', sign].toSorted());
    expect(await readLineageExport(store, SECOND)).toEqual(['a', 'c']);
  });

  test('and that is removed from a full store while clean looks at it: clean takes none of the packs in use', async () => {
    await twoExports();
    await store.remove([`${NAME}/${DAY_1}/manifest.json`]);
    const manifest = await get(store, `${NAME}/${DAY_2}/manifest.json`);
    await put(store, `${NAME}/${DAY_1}/export.claim`, await deadClaim());
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    await put(store, `${NAME}/${DAY_1}/manifest.json`, manifest);
    const meeting = watchedStore(store, {
      // Its last look at the claim was before.
      before: async (call) => {
        if (call !== `list ${NAME}/${DAY_1}/`) return;
        await store.remove([`${NAME}/${DAY_1}/export.claim`]);
        await store.remove([`${NAME}/${DAY_1}/manifest.json`]);
      },
    });
    await clearUnfinished(meeting, found);
    expect(await readLineageExport(store, SECOND)).toEqual(['a', 'c']);
  });
});

describe('an id that a copy uses again', () => {
  const again = { instance: NAME, started: new Date('2026-11-01T00:00:00Z'), frames: ['a', 'b'] };
  const child = { instance: NAME, started: new Date('2026-11-02T00:00:00Z'), frames: ['a'], parent: FIRST };

  test.each([
    ['complete', 2],
    ['removed', 1],
    ['removed', 2],
  ])('after another removal took the rest of the %s export away, in look %i: the new one keeps its files', async (state, look) => {
    await writeLineageExport(store, again);
    agePack(`${NAME}/${DAY_1}/disk0.pack.img`);
    if (state === 'removed') {
      await writeLineageExport(store, child);
      await removeExport(store, FIRST);
      await removeExport(store, SECOND);
      await put(store, `${NAME}/${DAY_1}/disk0.map`, 'map');
    }
    let looks = 0;
    const slow = watchedStore(store, {
      after: async (call) => {
        if (call !== 'list ') return;
        looks += 1;
        if (looks !== look) return;
        await removeExport(store, FIRST);
        expect(await filesOf(DAY_1)).toEqual([]);
        await writeLineageExport(store, again);
        await writeLineageExport(store, child);
      },
    });
    await removeExport(slow, FIRST);
    expect(looks).toBe(look);
    expect(await readLineageExport(store, FIRST)).toEqual(['a', 'b']);
    expect(await readLineageExport(store, SECOND)).toEqual(['a']);
  });

  test('for an export that refers to more than the one that had it: the second look reads it', async () => {
    await writeLineageExport(store, again);
    await writeLineageExport(store, { ...child, parent: undefined });
    let happened = false;
    const slow = watchedStore(store, {
      before: async (call) => {
        if (happened || call !== `begin ${NAME}/${DAY_1}/removed.json`) return;
        happened = true;
        await removeExport(store, SECOND);
        await writeLineageExport(store, child);
      },
    });
    expect((await removeExport(slow, FIRST)).keptBytes).toBe(2);
    expect(await readLineageExport(store, SECOND)).toEqual(['a']);
  });
});

/** As if a pack had been written long ago. */
function agePack(key: string): void {
  const object = memory.objects.get(key);
  if (object !== undefined) memory.objects.set(key, { ...object, modified: new Date(0) });
}

test('packs in use are those of manifests, and all of the parents of claims', async () => {
  await twoExports();
  const claim = {
    format: 'gantry-claim',
    version: 1,
    runId: 'r',
    tool: { name: 'g', version: '1' },
    started: '',
    parents: ['a@b'],
  } as const;
  const found = (await Array.fromAsync(surveyStore(store))).flat();
  const manifests = found.flatMap((each) => (each.state === 'export' ? [each.manifest] : []));
  const uses = packsInUse(manifests, [{ ...claim, process: await thisProcess() }]);
  expect(uses.has(PACK)).toBe(true);
  expect(uses.has({ ...PACK, exportId: DAY_2 })).toBe(false);
  expect(uses.has({ instance: 'a', exportId: 'b', name: 'any.zst' })).toBe(true);
});

test('an export that fails after its manifest was seen leaves the packs to which another refers', async () => {
  const withdrawn = watchedStore(store, {
    after: async (call) => {
      if (call !== `commit ${NAME}/${DAY_1}/manifest.json`) return;
      const claim = { instance: 'zzz', started: new Date(), runId: 'r', tool: { name: 'gantry', version: '1' }, parents: [FIRST] };
      await claimExport(store, claim, {});
      throw new StoreError('unavailable', { message: 'gone' });
    },
  });
  const header = { instance: NAME, started: '2026-11-01T00:00:00.000Z', runId: 'r', tool: { name: 'gantry', version: '1' } };
  await expect(writeExport(withdrawn, ['first'], header)).rejects.toMatchObject({ code: 'unavailable' });
  expect(await filesOf(DAY_1)).toEqual(['disk0.img', 'removed.json']);
});
