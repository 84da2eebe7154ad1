import type { Store, StoreCapabilities } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import {
  chunksOf,
  get,
  getBytes,
  keysOf,
  put,
  sampleHeader,
  sampleManifest,
  sampleDump,
  sampleRecord,
  sha256,
  writeDump,
  writeExport,
  writeHalf,
} from '../../test/sample-export.ts';
import type { StoreCall } from '../../test/watched-store.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { parseExportConfig } from './config-import.ts';
import { parseManifest } from './manifest.ts';
import { openExport } from './open-export.ts';
import { parseSha256Sums } from './sha256sums.ts';
import { storeSink } from './store-sink.ts';
import { findUnfinished } from './unfinished.ts';

const PREFIX = 'web1.example.com/20261123T081500Z/';

describe('a whole export', () => {
  test('has its dumps, config.ini, SHA256SUMS and the manifest; the claim is gone', async () => {
    const store = new MemoryStore();
    expect(await writeExport(store)).toBe('web1.example.com@20261123T081500Z');
    expect(await keysOf(store)).toEqual([
      `${PREFIX}SHA256SUMS`,
      `${PREFIX}config.ini`,
      `${PREFIX}disk0.img`,
      `${PREFIX}disk1.img`,
      `${PREFIX}frames.table`,
      `${PREFIX}manifest.json`,
    ]);
    expect(await get(store, `${PREFIX}disk0.img`)).toBe('first disk');
    expect(parseManifest(await get(store, `${PREFIX}manifest.json`), 'it').dumps).toHaveLength(2);
    expect(parseExportConfig(await get(store, `${PREFIX}config.ini`), 'it').disks.map(({ dump }) => dump)).toEqual([
      'disk0.img',
      'disk1.img',
    ]);
    expect(parseSha256Sums(await get(store, `${PREFIX}SHA256SUMS`), 'it')).toEqual([
      { name: 'disk0.img', sha256: sha256('first disk') },
      { name: 'disk1.img', sha256: sha256('second disk') },
      { name: 'frames.table', sha256: sha256(await getBytes(store, `${PREFIX}frames.table`)) },
      { name: 'config.ini', sha256: sha256(await get(store, `${PREFIX}config.ini`)) },
    ]);
  });

  test('becomes one by its last object: until the manifest is committed there is a claim', async () => {
    const store = new MemoryStore();
    const seen: string[] = [];
    const watched = watchedStore(store, {
      before: async (call) => {
        if (!call.startsWith(`commit ${PREFIX}`)) return;
        const keys = await keysOf(store);
        seen.push(call.slice(`commit ${PREFIX}`.length));
        expect(keys.includes(`${PREFIX}export.claim`)).toBe(seen.length > 1);
        expect(keys).not.toContain(`${PREFIX}manifest.json`);
      },
    });
    await writeExport(watched);
    expect(seen).toEqual(['export.claim', 'disk0.img', 'disk1.img', 'frames.table', 'config.ini', 'SHA256SUMS', 'manifest.json']);
  });

  test('takes several dumps at once', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    const dumps = await Promise.all([0, 1].map((index) => writeDump(writer, index, `disk ${index}`)));
    await writer.commit(sampleManifest(writer.id, dumps));
    expect((await openExport(store, writer.reference)).dumps).toHaveLength(2);
  });

  test('may have no dump at all', async () => {
    const store = new MemoryStore();
    expect(await writeExport(store, [])).toBe('web1.example.com@20261123T081500Z');
  });
});

describe('export ids', () => {
  test('two exports of one second are two exports', async () => {
    const store = new MemoryStore();
    expect(await writeExport(store)).toBe('web1.example.com@20261123T081500Z');
    expect(await writeExport(store)).toBe('web1.example.com@20261123T081500Z-2');
    expect(await writeExport(store)).toBe('web1.example.com@20261123T081500Z-3');
  });

  test.each([true, false])('exporters that begin together never share one (the store creates only: %s)', async (createOnly) => {
    const memory = new Memory();
    const writers = await Promise.all(
      Array.from({ length: 8 }, (_, run) =>
        storeSink(watchedStore(new MemoryStore(memory), { capabilities: { createOnly } }), { createStore: true }).open({
          ...sampleHeader,
          runId: `run-${run}`,
        }),
      ),
    );
    expect(new Set(writers.map(({ id }) => id)).size).toBe(8);
    await Promise.all(writers.map((writer) => writer[Symbol.asyncDispose]()));
    expect(await keysOf(new MemoryStore(memory))).toEqual([]);
  });

  test('one that finished between the first look and the claim keeps its own', async () => {
    const store = new MemoryStore();
    let first: string | undefined;
    const late = watchedStore(store, {
      before: async (call) => {
        if (call === `begin ${PREFIX}export.claim` && first === undefined) first = await writeExport(store);
      },
    });
    await using writer = await storeSink(late, { createStore: true }).open(sampleHeader);
    expect(first).toBe('web1.example.com@20261123T081500Z');
    expect(writer.id).toBe('20261123T081500Z-2');
    expect(await keysOf(store, PREFIX)).toEqual([
      `${PREFIX}SHA256SUMS`,
      `${PREFIX}config.ini`,
      `${PREFIX}disk0.img`,
      `${PREFIX}disk1.img`,
      `${PREFIX}frames.table`,
      `${PREFIX}manifest.json`,
    ]);
  });

  test('what is in the way is never replaced', async () => {
    const store = new MemoryStore();
    await put(store, `${PREFIX}notes.txt`, 'mine');
    expect(await writeExport(store)).toBe('web1.example.com@20261123T081500Z-2');
    expect(await keysOf(store, PREFIX)).toEqual([`${PREFIX}notes.txt`]);
  });
});

/** Runs an export of two disks over a store of its own, which does something at its call number `at`. */
async function exportWith(
  at: number,
  what: 'before' | 'after',
  happens: () => void,
): Promise<{ error: unknown; memory: Memory; calls: StoreCall[]; call: StoreCall | undefined; warnings: string[] }> {
  const memory = new Memory();
  const calls: StoreCall[] = [];
  const warnings: string[] = [];
  let call: StoreCall | undefined;
  const hook = (seen: StoreCall): void => {
    calls.push(seen);
    if (calls.length !== at + 1) return;
    call = seen;
    happens();
  };
  const store = watchedStore(new MemoryStore(memory), { [what]: hook });
  let error: unknown;
  try {
    await using writer = await storeSink(store, { createStore: true, warn: (message) => warnings.push(message) }).open(sampleHeader);
    const dumps = [await writeDump(writer, 0, 'first'), await writeDump(writer, 1, 'second')];
    await writer.commit(sampleManifest(writer.id, dumps));
  } catch (caught) {
    error = caught;
  }
  return { error, memory, calls, call, warnings };
}

describe('an export that fails', () => {
  test.each(['before', 'after'] as const)('leaves nothing, no matter which call of the store fails (%s it did its work)', async (what) => {
    const failure = new StoreError('unavailable', { message: 'gone' });
    const { calls } = await exportWith(Infinity, what, () => {});
    expect(calls.length).toBeGreaterThan(20);
    for (const at of calls.keys()) {
      const { error, memory, call, warnings } = await exportWith(at, what, () => {
        throw failure;
      });
      const store = new MemoryStore(memory);
      if (at >= calls.length - 2) {
        // The last two look for its claim and remove it: the export is complete by then.
        expect({ error, warnings }).toEqual({ error: undefined, warnings: [expect.stringContaining('could not remove the claim')] });
        expect((await openExport(store, 'web1.example.com')).dumps).toHaveLength(2);
        continue;
      }
      expect({ call, error, left: await keysOf(store), pending: memory.unfinished.size }).toEqual({
        call,
        error: failure,
        left: [],
        pending: 0,
      });
    }
  });

  test('leaves nothing when it is disposed before it was committed, with a dump that is still open', async () => {
    const memory = new Memory();
    const store = new MemoryStore(memory);
    {
      await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
      await writeDump(writer, 0, 'first');
      await writeHalf(await writer.dump('disk1.img'));
    }
    expect(await keysOf(store)).toEqual([]);
    expect(memory.unfinished.size).toBe(0);
  });

  test('cleans up although its signal was aborted, in the middle of a body too, and rejects with the reason', async () => {
    const memory = new Memory();
    const store = new MemoryStore(memory);
    const reason = new Error('enough');
    const controller = new AbortController();
    const { signal } = controller;
    async function* endless(): AsyncGenerator<Uint8Array> {
      yield Buffer.from('x');
      controller.abort(reason);
      await new Promise(() => {});
    }
    const exporting = async (): Promise<void> => {
      await using writer = await storeSink(store, { createStore: true }).open(sampleHeader, { signal });
      await writeDump(writer, 0, 'first', { signal });
      await using dump = await writer.dump('disk1.img', { signal });
      await dump.write(sampleDump(sampleRecord(1, 'x'), endless()), { signal });
    };
    await expect(exporting()).rejects.toBe(reason);
    expect(await keysOf(store)).toEqual([]);
    expect(memory.unfinished.size).toBe(0);
  });

  test('says what it could not remove, and leaves it marked as unfinished', async () => {
    const memory = new Memory();
    const warnings: string[] = [];
    const broken = watchedStore(new MemoryStore(memory), {
      before: (call) => {
        if (call.startsWith('remove')) throw new StoreError('unavailable', { message: 'the network is gone' });
      },
    });
    {
      await using writer = await storeSink(broken, { createStore: true, warn: (message) => warnings.push(message) }).open(sampleHeader);
      await writeDump(writer, 0, 'first');
    }
    expect(warnings).toEqual(['could not remove what was written of web1.example.com@20261123T081500Z in memory:: the network is gone']);
    expect(await keysOf(new MemoryStore(memory))).toEqual([`${PREFIX}disk0.img`, `${PREFIX}export.claim`]);
  });

  test('leaves alone what another exporter has taken over, in a store that cannot create only', async () => {
    const store = new MemoryStore();
    const warnings: string[] = [];
    const calls: StoreCall[] = [];
    const weak = watchedStore(store, { capabilities: { createOnly: false }, before: (call) => void calls.push(call) });
    {
      await using writer = await storeSink(weak, { createStore: true, warn: (message) => warnings.push(message) }).open(sampleHeader);
      const record = await writeDump(writer, 0, 'ours');
      await put(store, `${PREFIX}export.claim`, 'theirs');
      await put(store, `${PREFIX}disk0.img`, 'mine');
      await expect(writer.commit(sampleManifest(writer.id, [record]))).rejects.toMatchObject({ code: 'integrity' });
    }
    expect(warnings).toEqual([expect.stringContaining('another export has taken its place')]);
    // Which would replace the other's.
    expect(calls).not.toContain(`begin ${PREFIX}manifest.json`);
    expect(await get(store, `${PREFIX}disk0.img`)).toBe('mine');
  });

  test.each([
    ['shorter', (store: Store) => put(store, `${PREFIX}disk0.img`, 'our')],
    ['longer', (store: Store) => put(store, `${PREFIX}disk0.img`, 'ours and more')],
    ['gone', (store: Store) => store.remove([`${PREFIX}disk0.img`])],
  ])('commits nothing when a dump is %s than it was', async (_what, change) => {
    const store = new MemoryStore();
    {
      await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
      const record = await writeDump(writer, 0, 'ours');
      await change(store);
      await expect(writer.commit(sampleManifest(writer.id, [record]))).rejects.toMatchObject({
        code: 'integrity',
        message: expect.stringContaining('disk0.img'),
      });
    }
    expect(await keysOf(store, PREFIX)).toEqual([]);
  });

  test('removes no claim of another exporter that took its place before it looked, in a store that cannot create only', async () => {
    const store = new MemoryStore();
    let taken = false;
    const weak = watchedStore(store, {
      capabilities: { createOnly: false },
      after: async (call) => {
        if (call !== `commit ${PREFIX}export.claim` || taken) return;
        taken = true;
        await put(store, `${PREFIX}export.claim`, 'theirs');
      },
    });
    await using writer = await storeSink(weak, { createStore: true }).open(sampleHeader);
    expect(writer.id).toBe('20261123T081500Z-2');
    expect(await get(store, `${PREFIX}export.claim`)).toBe('theirs');
  });

  test('removes no claim of another exporter that took its place when it was complete, in a store that cannot create only', async () => {
    const store = new MemoryStore();
    let looks = 0;
    const weak = watchedStore(store, {
      capabilities: { createOnly: false },
      after: async (call) => {
        if (call === `commit ${PREFIX}manifest.json`) looks = 1;
        else if (looks === 1 && call === `read ${PREFIX}export.claim`) {
          looks = 2;
          await put(store, `${PREFIX}export.claim`, 'theirs');
        }
      },
    });
    await writeExport(weak);
    expect(looks).toBe(2);
    expect(await get(store, `${PREFIX}export.claim`)).toBe('theirs');
  });

  test('touches no other export', async () => {
    const store = new MemoryStore();
    const reference = await writeExport(store);
    {
      await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
      await writeDump(writer, 0, 'other');
    }
    expect(await get(store, `${PREFIX}disk0.img`)).toBe('first disk');
    expect((await openExport(store, reference)).dumps).toHaveLength(2);
  });
});

describe('what may not become an export', () => {
  test('a dump that is not what was announced', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    await using dump = await writer.dump('disk0.img');
    const other = sampleDump(sampleRecord(0, 'other'), chunksOf('longer than it says'));
    await expect(dump.write(other)).rejects.toMatchObject({ code: 'integrity' });
  });

  test.each(['../disk0.img', '/disk0.img', 'a/b', 'manifest.json', 'config.ini', 'SHA256SUMS', 'frames.table', 'export.claim', ''])(
    'a dump of the name %j',
    async (name) => {
      await using writer = await storeSink(new MemoryStore(), { createStore: true }).open(sampleHeader);
      await expect(writer.dump(name)).rejects.toMatchObject({ code: 'invalid-key' });
    },
  );

  test('two dumps of one name', async () => {
    await using writer = await storeSink(new MemoryStore(), { createStore: true }).open(sampleHeader);
    await writeDump(writer, 0, 'first');
    await expect(writer.dump('disk0.img')).rejects.toMatchObject({ code: 'invalid-key' });
  });

  test('one whose manifest no reader would accept, before anything of it is visible', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    const record = await writeDump(writer, 0, 'first');
    const messages = Array.from({ length: 10_001 }, () => '');
    const refused = writer.commit(sampleManifest(writer.id, [{ ...record, messages }]));
    await expect(refused).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: expect.stringContaining('more than 10000 members'),
    });
    expect(await keysOf(store)).toEqual([`${PREFIX}disk0.img`, `${PREFIX}export.claim`]);
    const long = { ...record, messages: ['a'.repeat(65 * 1024 * 1024)] };
    const tooLong = writer.commit(sampleManifest(writer.id, [long]));
    await expect(tooLong).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: expect.stringMatching(/it has 681\d{5} bytes; at most 67108864 are allowed$/),
    });
    expect(await keysOf(store)).toEqual([`${PREFIX}disk0.img`, `${PREFIX}export.claim`]);
  });

  test('one whose claim no reader would accept: the packs that it names would be taken for unused', async () => {
    const store = new MemoryStore();
    const parents = Array.from({ length: 10_000 }, (_, index) => `${'a'.repeat(100)}@${index}`);
    await expect(storeSink(store, { createStore: true }).open({ ...sampleHeader, parents })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(/^cannot claim an export of web1\.example\.com: its claim would have \d+ bytes, and at most 1048576/),
    });
    expect(await keysOf(store)).toEqual([]);
  });

  test('a manifest that says something else than what was written', async () => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    const record = await writeDump(writer, 0, 'first');
    await using open = await writer.dump('disk1.img');
    const wrong = [[], [record], [record, sampleRecord(1, 'second')], [sampleRecord(0, 'other')]];
    for (const dumps of wrong) await expect(writer.commit(sampleManifest(writer.id, dumps))).rejects.toThrow(/does not fit/);
    await open[Symbol.asyncDispose]();
    await expect(writer.commit(sampleManifest('20261123T081500Z-9', [record]))).rejects.toThrow(/does not fit/);
    expect(await keysOf(store)).not.toContain(`${PREFIX}manifest.json`);
  });

  test.each(['disk0.img', 'export.claim'])('an export from which somebody else has removed %s', async (name) => {
    const store = new MemoryStore();
    await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
    const record = await writeDump(writer, 0, 'first');
    await store.remove([`${PREFIX}${name}`]);
    await expect(writer.commit(sampleManifest(writer.id, [record]))).rejects.toMatchObject({
      code: 'integrity',
      message: expect.stringContaining(name),
    });
  });

  test('an export of an instance whose name leads elsewhere', async () => {
    await expect(storeSink(new MemoryStore(), { createStore: true }).open({ ...sampleHeader, instance: '../web1' })).rejects.toMatchObject({
      code: 'invalid-key',
    });
  });
});

describe('who may write, and neither look nor remove,', () => {
  const sealed = (memory: Memory, capabilities: Partial<StoreCapabilities> = {}): Store =>
    watchedStore(new MemoryStore(memory), {
      capabilities,
      before: (call) => {
        if (/^(stat|read|list|pending|remove) /.test(call)) throw new StoreError('denied', { message: 'access denied' });
      },
    });

  test("makes whole exports; the claim stays, and is in nobody's way", async () => {
    const memory = new Memory();
    const reference = await writeExport(sealed(memory));
    const owner = new MemoryStore(memory);
    expect(await keysOf(owner)).toContain(`${PREFIX}export.claim`);
    expect((await openExport(owner, reference)).dumps).toHaveLength(2);
    expect(await findUnfinished(owner)).toMatchObject([{ name: reference, objects: [{ key: `${PREFIX}export.claim` }] }]);
  });

  test('never writes where anything is', async () => {
    const memory = new Memory();
    await writeExport(new MemoryStore(memory));
    await expect(writeExport(sealed(memory), ['another', 'disk'])).rejects.toMatchObject({ code: 'exists' });
    expect(await get(new MemoryStore(memory), `${PREFIX}disk0.img`)).toBe('first disk');
  });

  test('takes nothing of another export away that it could not see, though it may remove', async () => {
    const memory = new Memory();
    await writeExport(new MemoryStore(memory));
    const before = await keysOf(new MemoryStore(memory));
    const blind = watchedStore(new MemoryStore(memory), {
      before: (call) => {
        if (/^(list|pending) /.test(call)) throw new StoreError('denied', { message: 'access denied' });
      },
    });
    await expect(writeExport(blind, ['another', 'disk'])).rejects.toMatchObject({ code: 'exists' });
    expect(await keysOf(new MemoryStore(memory))).toEqual(before);
  });

  test('is refused where the store cannot create only', async () => {
    await expect(writeExport(sealed(new Memory(), { createOnly: false }))).rejects.toMatchObject({ code: 'denied' });
  });
});
