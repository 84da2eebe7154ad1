import type { PendingInfo, UnfinishedOptions } from '@gantry/transport';
import { StoreError, thisProcess } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import type { Store } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { chunksOf, get, keysOf, put, sampleHeader, sampleManifest, writeDump, writeExport, writeHalf } from '../../test/sample-export.ts';
import type { Watching } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from './list-exports.ts';
import { openExport } from './open-export.ts';
import { storeSink } from './store-sink.ts';
import { initializeStore } from './store-marker.ts';
import { clearUnfinished, findUnfinished } from './unfinished.ts';

const NAME = 'web1.example.com';
const PREFIX = `${NAME}/20261123T081500Z/`;

/** What an export leaves whose process is killed between two disks. */
async function leaveDeadExport(memory: Memory, content = 'first', header = sampleHeader): Promise<void> {
  await using dying = new MemoryStore(memory);
  const writer = await storeSink(dying, { createStore: true }).open(header);
  await writeDump(writer, 0, content);
  await writeHalf(await writer.dump('disk1.img'));
  const store = new MemoryStore(memory);
  await put(store, `${PREFIX}export.claim`, (await get(store, `${PREFIX}export.claim`)).replace(/"startTime": \d+/, '"startTime": 1'));
}

describe('what a killed export left', () => {
  test('is found: its objects, its writes, and that its process is gone', async () => {
    const memory = new Memory();
    await leaveDeadExport(memory);
    const found = await findUnfinished(new MemoryStore(memory));
    expect(found).toMatchObject([
      {
        name: `${NAME}@20261123T081500Z`,
        owner: 'dead',
        text: expect.stringMatching(/^started 2026-11-23T08:15:00.000Z by process \d+ on host .*, which has ended$/),
        objects: [{ key: `${PREFIX}disk0.img`, size: 5 }, { key: `${PREFIX}export.claim` }],
        pending: [{ key: `${PREFIX}disk1.img`, durableBytes: 4 }],
      },
    ]);
  });

  test('is cleared, and nothing else with it', async () => {
    const memory = new Memory();
    const store = new MemoryStore(memory);
    const sound = await writeExport(store, ['x'], { ...sampleHeader, started: '2025-01-01T00:00:00.000Z' });
    await leaveDeadExport(memory);
    for (const unfinished of await findUnfinished(store)) await clearUnfinished(store, unfinished);
    expect(await keysOf(store, PREFIX)).toEqual([]);
    expect(memory.unfinished.size).toBe(0);
    expect((await openExport(store, NAME)).reference).toBe(sound);
    expect(await findUnfinished(store)).toEqual([]);
  });

  test('is not an export of Ganeti, even with a config.ini', async () => {
    const memory = new Memory();
    await leaveDeadExport(memory);
    const store = new MemoryStore(memory);
    await put(store, `${PREFIX}config.ini`, '[export]\nversion = 0\nos = a\n[instance]\nname = b\n');
    for await (const summary of listExports(store)) expect(summary).toMatchObject({ state: 'unfinished', owner: 'dead' });
    await expect(openExport(store, NAME)).rejects.toMatchObject({ code: 'EXPORT_INCOMPLETE' });
  });

  test('writes of which nobody knows where they belong are each a thing of its own, and no export', async () => {
    await using dying = new MemoryStore(new Memory());
    for (const token of ['unknown/a1', 'unknown/b2']) await (await dying.begin(token)).append(chunksOf('half'));
    expect((await findUnfinished(dying)).map(({ name, pending }) => [name, pending.length])).toEqual([
      ['unknown/a1', 1],
      ['unknown/b2', 1],
    ]);
  });

  test('a write alone, before its claim was there', async () => {
    const memory = new Memory();
    {
      await using dying = new MemoryStore(memory);
      await dying.begin(`${PREFIX}export.claim`);
    }
    const store = new MemoryStore(memory);
    const [found] = await findUnfinished(store, { instance: NAME });
    expect(found).toMatchObject({
      name: `${NAME}@20261123T081500Z`,
      owner: 'dead',
      objects: [],
      text: expect.stringMatching(/^started .* by this process$/),
    });
    expect(await findUnfinished(store, { instance: 'web2' })).toEqual([]);
    if (found !== undefined) await clearUnfinished(store, found);
    expect(memory.unfinished.size).toBe(0);
  });

  test('a write outside of the layout is named by its key', async () => {
    const memory = new Memory();
    {
      await using dying = new MemoryStore(memory);
      await dying.begin('a/b/c/d');
    }
    expect(await findUnfinished(new MemoryStore(memory))).toMatchObject([{ name: 'a/b/c/d', owner: 'dead' }]);
  });
});

/** Shows an unfinished write only to those who know its key. */
class ByWholeKeyStore extends MemoryStore {
  readonly asked: (readonly string[])[] = [];

  override async *pending(prefix: string, { keys = [] }: UnfinishedOptions = {}): AsyncGenerator<PendingInfo> {
    this.asked.push(keys);
    for await (const info of super.pending(prefix)) if (keys.includes(info.key)) yield info;
  }

  override async clear(tokens: readonly string[], { keys = [] }: UnfinishedOptions = {}): Promise<void> {
    for await (const info of super.pending('')) if (tokens.includes(info.token) && keys.includes(info.key)) await super.clear([info.token]);
  }
}

test('what a killed export left is found, and cleared, where the store lists unfinished writes by whole key only', async () => {
  const memory = new Memory();
  await leaveDeadExport(memory, 'first', { ...sampleHeader, dumps: ['disk0.img', 'disk1.img'] });
  const store = new ByWholeKeyStore(memory);
  const [found] = await findUnfinished(store);
  if (found === undefined) return expect.unreachable();
  expect(found).toMatchObject({ owner: 'dead', pending: [{ key: `${PREFIX}disk1.img` }] });
  // The first dump is complete: nothing of it can be unfinished.
  expect(store.asked).toEqual([[`${PREFIX}disk1.img`]]);
  await clearUnfinished(store, found);
  expect(memory.unfinished.size).toBe(0);
  expect(await keysOf(store, PREFIX)).toEqual([]);
});

test('of a copy that was to complete packs that were brought, just what goes is listed', async () => {
  const store = new MemoryStore();
  await initializeStore(store);
  const { tool, started } = sampleHeader;
  const process = { ...(await thisProcess()), startTime: 1 };
  const claim = { format: 'gantry-claim', version: 1, runId: 'r', tool, started, process, copies: 'a'.repeat(64) };
  await put(store, `${PREFIX}export.claim`, JSON.stringify(claim));
  for (const name of ['disk0.pack.zst', 'disk0.pack.zst.unused', 'config.ini', 'SHA256SUMS']) await put(store, `${PREFIX}${name}`, name);
  const before = await keysOf(store, PREFIX);
  const [found] = await findUnfinished(store);
  if (found === undefined) return expect.unreachable();
  expect(found.removed).toBe(true);
  await clearUnfinished(store, found);
  const after = await keysOf(store, PREFIX);
  expect(found.objects.map(({ key }) => key).toSorted()).toEqual(before.filter((key) => !after.includes(key)).toSorted());
  expect(after).toContain(`${PREFIX}disk0.pack.zst`);
  expect(found.objects.length).toBeGreaterThan(1);
});

test.each([['../x'], ['a/b'], ['manifest.json'], ['']])('a claim that names a dump %j is not believed', async (name) => {
  const store = new MemoryStore();
  const claim = { format: 'gantry-claim', version: 1, runId: 'r', tool: sampleHeader.tool, started: sampleHeader.started, dumps: [name] };
  await put(store, `${PREFIX}export.claim`, JSON.stringify({ ...claim, process: await thisProcess() }));
  expect(await findUnfinished(store)).toMatchObject([{ owner: 'unknown' }]);
});

describe('what is left alone', () => {
  test('an export that is under way', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    const record = await writeDump(writer, 0, 'first');
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    expect(found.owner).toBe('alive');
    await expect(clearUnfinished(store, found)).rejects.toMatchObject({ code: 'BUSY' });
    await writer.commit(sampleManifest(writer.id, [record]));
    expect((await openExport(store, NAME)).dumps).toHaveLength(1);
  });

  test('one whose write is alive although its claim is not', async () => {
    const memory = new Memory();
    const living = new MemoryStore(memory);
    await leaveDeadExport(memory);
    await living.begin(`${PREFIX}disk2.img`);
    expect(await findUnfinished(living)).toMatchObject([{ owner: 'alive' }]);
  });

  test('one of another host is not taken for dead', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await put(store, `${PREFIX}export.claim`, (await get(store, `${PREFIX}export.claim`)).replace(/"host": ".*"/, '"host": "elsewhere"'));
    expect(await findUnfinished(store)).toMatchObject([
      { name: writer.reference, owner: 'unknown', text: expect.stringContaining('which may be running') },
    ]);
  });

  test('an export that has become complete in the meantime: only its claim goes', async () => {
    const memory = new Memory();
    await leaveDeadExport(memory);
    const store = new MemoryStore(memory);
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    await put(store, `${PREFIX}manifest.json`, JSON.stringify(sampleManifest('20261123T081500Z', [])));
    expect(await clearUnfinished(store, found)).toBe('complete');
    expect(await keysOf(store)).toEqual([`${PREFIX}disk0.img`, `${PREFIX}manifest.json`]);
  });

  test('an export whose place another run has claimed in the meantime, with a new claim and dump', async () => {
    const memory = new Memory();
    await leaveDeadExport(memory);
    const store = new MemoryStore(memory);
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    await put(store, `${PREFIX}export.claim`, '{"another":"run"}');
    expect(await clearUnfinished(store, found)).toBe('taken');
    expect(await get(store, `${PREFIX}export.claim`)).toBe('{"another":"run"}');
    expect(await keysOf(store)).toContain(`${PREFIX}disk0.img`);
  });

  test('the claim that another run makes while the dumps of a killed export go, whose claim somebody took away', async () => {
    const memory = new Memory();
    await leaveDeadExport(memory);
    const store = new MemoryStore(memory);
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    const key = `${PREFIX}export.claim`;
    const slow = watchedStore(store, {
      after: async (call) => {
        if (call === `remove ${PREFIX}disk0.img`) await put(store, key, '{"another":"run"}');
      },
    });
    await clearUnfinished(slow, found);
    expect(await get(store, key)).toBe('{"another":"run"}');
  });

  test('a complete export whose claim was left behind', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    await put(store, `${PREFIX}export.claim`, '{}');
    const [found] = await findUnfinished(store);
    if (found === undefined) return expect.unreachable();
    expect(found.objects.map(({ key }) => key)).toEqual([`${PREFIX}export.claim`]);
    expect(found.complete).toBe(true);
    expect(await clearUnfinished(store, found)).toBe('cleared');
    expect((await openExport(store, NAME)).dumps).toHaveLength(2);
    expect(await keysOf(store)).not.toContain(`${PREFIX}export.claim`);
  });

  test('all exports of an instance, when somebody puts a claim right beneath its name', async () => {
    const store = new MemoryStore();
    await writeExport(store);
    await put(store, `${NAME}/export.claim`, '{}');
    await put(store, `${NAME}/config.ini`, '[export]');
    expect(await findUnfinished(store)).toEqual([]);
    const forged = {
      name: NAME,
      owner: 'dead' as const,
      text: '',
      complete: false,
      removed: false,
      pending: [],
      objects: [{ key: `${NAME}/export.claim`, size: 2, modified: new Date() }],
    };
    await clearUnfinished(store, forged);
    expect(await keysOf(store)).toHaveLength(8);
  });
});

describe('an export that is cleared while it is still at work, on another host', () => {
  /** An export just before its commit, and what another host finds of it; both see the same store. */
  async function atWork(memory: Memory, watching: Watching) {
    const exporter = watchedStore(new MemoryStore(memory), watching);
    const writer = await storeSink(exporter, { createStore: true }).open(sampleHeader);
    const record = await writeDump(writer, 0, 'first');
    const cleaner = new MemoryStore(memory);
    const [found] = await findUnfinished(cleaner);
    if (found === undefined) throw new Error('not found');
    return { writer, manifest: sampleManifest(writer.id, [record]), cleaner, found: { ...found, owner: 'unknown' as const } };
  }

  test('before it looks once more: it fails, no manifest is there at any time, and nothing is left', async () => {
    const memory = new Memory();
    const calls: string[] = [];
    const { writer, manifest, cleaner, found } = await atWork(memory, { before: (call) => void calls.push(call) });
    expect(await clearUnfinished(cleaner, found)).toBe('cleared');
    await expect(writer.commit(manifest)).rejects.toMatchObject({ code: 'integrity' });
    await writer[Symbol.asyncDispose]();
    expect(calls).not.toContain(`begin ${PREFIX}manifest.json`);
    expect(await exportKeys(cleaner)).toEqual([]);
  });

  test('and whose claim is another one by then, beside its own dumps: no manifest is there at any time', async () => {
    const memory = new Memory();
    const calls: string[] = [];
    const { writer, manifest, cleaner } = await atWork(memory, { before: (call) => void calls.push(call) });
    await put(cleaner, `${PREFIX}export.claim`, '{"format":"gantry-claim"}\n');
    await expect(writer.commit(manifest)).rejects.toMatchObject({ code: 'integrity', message: expect.stringContaining('export.claim') });
    await writer[Symbol.asyncDispose]();
    expect(calls).not.toContain(`begin ${PREFIX}manifest.json`);
  });

  test.each([
    ['begin', 'between its last look at the dumps and its manifest'],
    ['commit', 'while its manifest is being written'],
  ])('%s: %s: it fails, and nothing is left', async (call) => {
    const memory = new Memory();
    const outcomes: string[] = [];
    const { writer, manifest, cleaner, found } = await atWork(memory, {
      before: async (now) => {
        if (now === `${call} ${PREFIX}manifest.json`) outcomes.push(await clearUnfinished(cleaner, found));
      },
    });
    await expect(writer.commit(manifest)).rejects.toMatchObject({ code: 'integrity', message: expect.stringContaining('export.claim') });
    await writer[Symbol.asyncDispose]();
    expect(outcomes).toEqual(['cleared']);
    expect(await exportKeys(cleaner)).toEqual([]);
  });

  test('so that its manifest is written when no manifest was found, and its dumps are still to go: it fails, and nothing is left', async () => {
    const memory = new Memory();
    const { writer, manifest, cleaner, found } = await atWork(memory, {});
    const outcomes: unknown[] = [];
    const slow = watchedStore(cleaner, {
      after: async (call) => {
        if (call === `list ${PREFIX}` && outcomes.length === 0)
          outcomes.push(await writer.commit(manifest).catch((error: unknown) => error));
      },
    });
    expect(await clearUnfinished(slow, found)).toBe('cleared');
    expect(outcomes).toEqual([expect.objectContaining({ code: 'integrity' })]);
    await writer[Symbol.asyncDispose]();
    expect(await exportKeys(cleaner)).toEqual([]);
  });

  test.each([
    [`list ${PREFIX}`, 'while it is looked at'],
    [`remove ${PREFIX}disk0.img`, 'while its dumps go'],
  ])('and whose place another run claims after %s, %s: that claim stays', async (call) => {
    const memory = new Memory();
    const { cleaner, found } = await atWork(memory, {});
    const key = `${PREFIX}export.claim`;
    const slow = watchedStore(cleaner, {
      after: async (now) => {
        if (now === call) await put(cleaner, key, '{"another":"run"}');
      },
    });
    await clearUnfinished(slow, found);
    expect(await get(cleaner, key)).toBe('{"another":"run"}');
  });

  test.each(['manifest.json', 'removed.json'])(
    'and whose place a copy claims, completes with %s and releases before the claim is looked for: nothing of it goes',
    async (last) => {
      const memory = new Memory();
      const { writer, cleaner, found } = await atWork(memory, {});
      const [key, dump] = [`${PREFIX}export.claim`, `${PREFIX}disk0.img`];
      let listings = 0;
      const slow = watchedStore(cleaner, {
        after: async (call) => {
          if (call === `remove ${key}`) {
            await writer[Symbol.asyncDispose]();
            await put(cleaner, key, '{"another":"run"}');
            await put(cleaner, dump, 'of the copy');
          } else if (call === `list ${PREFIX}` && (listings += 1) === 1) {
            await put(cleaner, `${PREFIX}${last}`, '{}');
            await cleaner.remove([key]);
          }
        },
      });
      expect(await clearUnfinished(slow, found)).toBe('taken');
      expect(await exportKeys(cleaner)).toEqual([dump, `${PREFIX}${last}`]);
      expect(await get(cleaner, dump)).toBe('of the copy');
    },
  );

  test('which gives up, and whose place a copy claims while it removes what it wrote: that claim stays', async () => {
    const memory = new Memory();
    const key = `${PREFIX}export.claim`;
    const { writer, cleaner, found } = await atWork(memory, {
      after: async (call) => {
        if (call.startsWith('remove ') && call.includes('disk0.img')) await put(cleaner, key, '{"another":"run"}');
      },
    });
    expect(await clearUnfinished(cleaner, found)).toBe('cleared');
    await writer[Symbol.asyncDispose]();
    expect(await get(cleaner, key)).toBe('{"another":"run"}');
  });

  test('with rights that do not let it remove: it claims what it has written since again, and clean clears that', async () => {
    const memory = new Memory();
    const { writer, cleaner, found } = await atWork(memory, {
      before: (call) => {
        if (call.startsWith('remove ')) throw new StoreError('denied', { message: 'access denied' });
      },
    });
    expect(await clearUnfinished(cleaner, found)).toBe('cleared');
    const key = `${PREFIX}export.claim`;
    const dump = await writeDump(writer, 1, 'second');
    await expect(writer.commit(sampleManifest(writer.id, [dump]))).rejects.toBeDefined();
    await writer[Symbol.asyncDispose]();
    expect(await exportKeys(cleaner)).toContain(`${PREFIX}disk1.img`);
    await put(cleaner, key, (await get(cleaner, key)).replace(/"startTime": \d+/, '"startTime": 1'));
    const [left] = await findUnfinished(cleaner);
    if (left === undefined) return expect.unreachable();
    expect(await clearUnfinished(cleaner, left)).toBe('cleared');
    expect(await exportKeys(cleaner)).toEqual([]);
  });

  test('after its manifest was written and its claim seen: it is complete, and nothing of it goes', async () => {
    const memory = new Memory();
    const outcomes: string[] = [];
    let written = false;
    const { writer, manifest, cleaner, found } = await atWork(memory, {
      after: async (now) => {
        if (now === `commit ${PREFIX}manifest.json`) written = true;
        else if (written && now === `read ${PREFIX}export.claim` && outcomes.length === 0) {
          outcomes.push('clearing');
          outcomes.push(await clearUnfinished(cleaner, found));
        }
      },
    });
    await writer.commit(manifest);
    expect(outcomes).toEqual(['clearing', 'complete']);
    expect((await openExport(cleaner, NAME)).dumps).toHaveLength(1);
    await expect((await openExport(cleaner, NAME)).checkDumpsPresent()).resolves.toHaveLength(1);
  });

  async function exportKeys(store: Store): Promise<string[]> {
    return (await keysOf(store)).filter((key) => key.startsWith(PREFIX));
  }
});
