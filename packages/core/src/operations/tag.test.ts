import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, keysOf, put, sampleHeader, writeExport } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { listExports } from '../exports/list-exports.ts';
import { openExport } from '../exports/open-export.ts';
import { removeExport } from '../exports/remove-export.ts';
import { initializeStore } from '../exports/store-marker.ts';
import type { RetentionPolicy } from '../exports/retention.ts';
import { copyFromStore } from './copy.ts';
import { mirrorStore } from './mirror.ts';
import { pruneStore } from './prune.ts';
import type { TagRequest, TagResult } from './tag.ts';
import { tagExport } from './tag.ts';

const OLD = 'web1@20261101T020000Z';
const NEW = 'web1@20261102T020000Z';

/** Two exports of an instance. */
async function sampleStore(): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (const day of [1, 2])
    await writeExport(store, ['disk'], { ...sampleHeader, instance: 'web1', started: `2026-11-0${day}T02:00:00.000Z` });
  return store;
}

function tag(store: Store, reference: string, request: Omit<TagRequest, 'store' | 'export'>): Promise<TagResult> {
  return tagExport({ store, export: reference, ...request });
}

async function labelsIn(store: Store, reference: string): Promise<unknown> {
  const { manifest } = await openExport(store, reference);
  return { tags: manifest?.tags, note: manifest?.note };
}

async function labelFiles(store: Store): Promise<readonly string[]> {
  return (await keysOf(store)).filter((key) => key.includes('labels')).map((key) => key.replace(/.*\//, ''));
}

async function removedBy(store: Store, policy: RetentionPolicy): Promise<readonly string[]> {
  return (await pruneStore({ store, policy, dryRun: true })).removed;
}

describe('tags that an export gets later', () => {
  test('are shown, listed and kept by, and the manifest stays as it is', async () => {
    const store = await sampleStore();
    const key = `${OLD.replace('@', '/')}/manifest.json`;
    const before = await get(store, key);
    const first = await tag(store, OLD, { add: ['before-upgrade', 'keep'], note: 'by hand' });
    expect(first).toMatchObject({ reference: OLD, tags: ['before-upgrade', 'keep'], note: 'by hand', changed: true });
    expect(await get(store, key)).toBe(before);
    await expect(labelsIn(store, OLD)).resolves.toEqual({ tags: ['before-upgrade', 'keep'], note: 'by hand' });
    const listed = await Array.fromAsync(listExports(store));
    expect(listed.map(({ tags, note }) => ({ tags, note }))).toEqual([{ tags: ['before-upgrade', 'keep'], note: 'by hand' }, {}]);
    await expect(removedBy(store, { last: 1 })).resolves.toEqual([OLD]);
    await expect(removedBy(store, { last: 1, tags: [['keep']] })).resolves.toEqual([]);
    const second = await tag(store, OLD, { remove: ['keep', 'never-there'], note: '' });
    expect(second).toMatchObject({ tags: ['before-upgrade'], changed: true });
    expect(second).not.toHaveProperty('note');
    await expect(removedBy(store, { last: 1, tags: [['keep']] })).resolves.toEqual([OLD]);
    expect(await labelFiles(store)).toEqual(['labels-2.json']);
  });

  test('go on from those of the export, of the newest one where no id is given, and nothing is written that is there', async () => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    const { reference } = await bench.exportDisks({ labels: { tags: ['nightly'], note: 'first' } });
    await expect(tag(store, bench.instance.name, { add: ['nightly'] })).resolves.toMatchObject({ reference, changed: false });
    expect(await labelFiles(store)).toEqual([]);
    await tag(store, bench.instance.name, { add: ['weekly'] });
    await expect(labelsIn(store, reference)).resolves.toEqual({ tags: ['nightly', 'weekly'], note: 'first' });
  });

  test('come together if several change them at once, also in a store that only adds', async () => {
    const store = await sampleStore();
    const words = Array.from({ length: 6 }, (_, index) => `tag${index}`);
    await Promise.all(words.map((word) => tag(store, NEW, { add: [word] })));
    await expect(labelsIn(store, NEW)).resolves.toMatchObject({ tags: expect.arrayContaining(words) });
    const denied = new StoreError('denied', { message: 'removal is denied' });
    const addOnly = watchedStore(store, {
      before: (call) => {
        if (call.startsWith('remove')) throw denied;
      },
    });
    await tag(addOnly, OLD, { add: ['a'] });
    await tag(addOnly, OLD, { add: ['b'] });
    await expect(labelsIn(store, OLD)).resolves.toMatchObject({ tags: ['a', 'b'] });
  });

  test('see what somebody else wrote between the look and the write, even if that made room for theirs', async () => {
    const store = await sampleStore();
    let isFirst = true;
    const raced = watchedStore(store, {
      before: async (call) => {
        if (!call.startsWith('begin') || !isFirst) return;
        isFirst = false;
        // The second change removes the object of the first, whose name is the next one for us.
        await tag(store, OLD, { add: ['other'] });
        await tag(store, OLD, { add: ['another'] });
      },
    });
    await tag(raced, OLD, { add: ['mine'] });
    await expect(labelsIn(store, OLD)).resolves.toMatchObject({ tags: ['other', 'another', 'mine'] });
  });

  test('that cannot be read keep the export from being pruned, and leave it importable', async () => {
    const store = await sampleStore();
    await put(store, `${OLD.replace('@', '/')}/labels-1.json`, '{"format":"gantry-labels"');
    const { removed, damaged } = await pruneStore({ store, policy: { last: 1 }, dryRun: true });
    expect({ removed, damaged }).toEqual({ removed: [], damaged: [expect.stringContaining('labels-1.json')] });
    const opened = await openExport(store, OLD);
    expect(opened.warnings).toEqual([`labels-1.json of ${OLD} is damaged: it is not what gantry tag writes`]);
    const [listed] = await Array.fromAsync(listExports(store));
    expect(listed).toMatchObject({ state: 'complete', warning: expect.stringContaining('is damaged') });
    const { warnings } = await tag(store, OLD, { add: ['new'] });
    expect(warnings).toEqual([expect.stringContaining('going on from the labels that it was exported with')]);
    await expect(labelsIn(store, OLD)).resolves.toMatchObject({ tags: ['new'] });
    expect(await labelFiles(store)).toEqual(['labels-2.json']);
  });

  test('that cannot be read do not keep a mirror by tags from copying the export', async () => {
    const store = await sampleStore();
    await tag(store, NEW, { add: ['other'] });
    await put(store, `${OLD.replace('@', '/')}/labels-1.json`, '{');
    const target = new MemoryStore();
    await initializeStore(target);
    const { exports, untagged, warnings } = await mirrorStore({ source: store, target, tags: ['gold'] });
    expect({ exports, untagged }).toMatchObject({ exports: [{ reference: OLD, outcome: 'copied' }], untagged: 1 });
    expect(warnings).toEqual([`labels-1.json of ${OLD} is damaged: it is not what gantry tag writes`]);
  });

  test('have no number left if somebody wrote the highest one, and no other number makes a pack of them', async () => {
    const store = await sampleStore();
    await put(store, `${OLD.replace('@', '/')}/labels-999999999.json`, '{}');
    await put(store, `${NEW.replace('@', '/')}/labels-1000000000.json`, '{}');
    await expect(tag(store, OLD, { add: ['a'] })).rejects.toMatchObject({
      code: 'MANIFEST_DAMAGED',
      message: expect.stringContaining('labels-999999999.json has the highest number'),
    });
    await expect(tag(store, NEW, { add: ['a'] })).resolves.toMatchObject({ tags: ['a'] });
    await expect(removeExport(store, NEW)).resolves.toMatchObject({ keptBytes: 0 });
    expect(await labelFiles(store)).toEqual(['labels-999999999.json']);
  });

  test('of a copy that was interrupted do not stay, if the source has no later labels any more', async () => {
    const store = await sampleStore();
    await tag(store, OLD, { add: ['old'] });
    const target = new MemoryStore();
    await initializeStore(target);
    const interrupted = new AbortController();
    const killed = watchedStore(target, {
      before: (call) => {
        if (!call.startsWith('begin') || !call.endsWith('/manifest.json')) return;
        interrupted.abort(new Error('interrupted'));
        interrupted.signal.throwIfAborted();
      },
    });
    const { signal } = interrupted;
    await expect(copyFromStore({ source: store, target: killed, export: OLD, signal })).rejects.toThrow('interrupted');
    const prefix = OLD.replace('@', '/');
    expect(await keysOf(target, `${prefix}/`)).toContain(`${prefix}/labels-1.json`);
    const claim = `${prefix}/export.claim`;
    await put(target, claim, (await get(target, claim)).replace(/"startTime": \d+/, '"startTime": 1'));
    await tag(store, OLD, { remove: ['old'] });
    await expect(copyFromStore({ source: store, target, export: OLD })).resolves.toMatchObject({ outcome: 'copied' });
    await expect(labelsIn(target, OLD)).resolves.toEqual({});
  });

  test('go with the export, and leave nothing in the place of one that is removed meanwhile', async () => {
    const store = await sampleStore();
    await tag(store, OLD, { add: ['a'] });
    await removeExport(store, OLD);
    expect((await keysOf(store)).filter((key) => key.includes('20261101'))).toEqual([]);
    const raced = watchedStore(store, {
      before: async (call) => {
        if (call.startsWith('begin')) await removeExport(store, NEW);
      },
    });
    await expect(tag(raced, NEW, { add: ['a'] })).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
    expect(await keysOf(store)).toEqual([]);
  });

  test('are copied with the export, and choose what a mirror copies', async () => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    const full = await bench.exportDisks();
    const other = await bench.exportDisks({ incremental: true });
    const increment = await bench.exportDisks({ incremental: true });
    for (const { reference } of [full, increment]) await tag(store, reference, { add: ['offsite'], note: 'far away' });
    const target = new MemoryStore();
    await initializeStore(target);
    const dry = await mirrorStore({ source: store, target, tags: ['offsite'], dryRun: true });
    expect(dry.exports.map(({ reference }) => reference)).toEqual([full.reference, increment.reference]);
    const result = await mirrorStore({ source: store, target, tags: ['offsite'] });
    expect(result).toMatchObject({ exports: [{ outcome: 'copied' }, { outcome: 'copied' }], untagged: 1 });
    for (const { reference } of [full, increment])
      await expect(labelsIn(target, reference)).resolves.toEqual({ tags: ['offsite'], note: 'far away' });
    await expect(copyFromStore({ source: store, target, export: other.reference })).resolves.toMatchObject({ outcome: 'copied' });
    await expect(mirrorStore({ source: store, target, tags: ['offsite', 'never'] })).resolves.toMatchObject({ exports: [], untagged: 0 });
  });

  test.each([
    ['a comma', { add: ['a,b'] }, 'is not a valid tag'],
    ['no characters', { remove: [''] }, 'is not a valid tag'],
    ['both options', { add: ['a'], remove: ['a'] }, 'cannot add and remove the tag a at once'],
    ['too many of them', { add: Array.from({ length: 33 }, (_, index) => `t${index}`) }, 'at most 32 tags'],
    ['a long note', { note: 'x'.repeat(1001) }, 'at most 1000'],
  ])('are refused with %s', async (_, request, message) => {
    const store = await sampleStore();
    await expect(tag(store, OLD, request)).rejects.toMatchObject({ code: 'USAGE', message: expect.stringContaining(message) });
    expect(await labelFiles(store)).toEqual([]);
  });
});
