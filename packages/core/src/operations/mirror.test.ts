import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { get, keysOf, put, sampleHeader, writeExport } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { removeExport } from '../exports/remove-export.ts';
import { initializeStore } from '../exports/store-marker.ts';
import type { MirrorRequest } from './mirror.ts';
import { mirrorStore } from './mirror.ts';
import { verifyExport } from './verify.ts';

const DAYS = [1, 2, 3];

function idOf(day: number): string {
  return `2026110${day}T020000Z`;
}

async function writeDay(store: Store, instance: string, day: number): Promise<void> {
  await writeExport(store, [`${instance}, day ${day}`], { ...sampleHeader, instance, started: `2026-11-0${day}T02:00:00.000Z` });
}

/** Two instances, exported on three days. */
async function sampleSource(): Promise<MemoryStore> {
  const store = new MemoryStore();
  for (const instance of ['db1', 'web1']) for (const day of DAYS) await writeDay(store, instance, day);
  return store;
}

async function newTarget(memory = new Memory()): Promise<MemoryStore> {
  const store = new MemoryStore(memory);
  await initializeStore(store);
  return store;
}

async function exportsIn(store: Store): Promise<readonly string[]> {
  return (await keysOf(store)).filter((key) => key.endsWith('/manifest.json')).map((key) => key.replace('/manifest.json', ''));
}

function mirror(source: Store, target: Store, request: Partial<MirrorRequest> = {}) {
  return mirrorStore({ source, target, ...request });
}

describe('a mirror', () => {
  test('has all exports of its source, and a second run copies nothing', async () => {
    const source = await sampleSource();
    const target = await newTarget();
    const first = await mirror(source, target);
    expect(first.exports.map(({ reference, outcome }) => `${outcome} ${reference}`)).toEqual(
      ['db1', 'web1'].flatMap((instance) => DAYS.map((day) => `copied ${instance}@${idOf(day)}`)),
    );
    expect(await keysOf(target)).toEqual(await keysOf(source));
    expect(await mirror(source, target)).toMatchObject({ exports: [], present: 6, older: 0, sentBytes: 0, warnings: [] });
    await writeDay(source, 'web1', 4);
    expect(await mirror(source, target)).toMatchObject({
      exports: [{ reference: `web1@${idOf(4)}`, outcome: 'copied' }],
      present: 6,
      newest: expect.arrayContaining([`web1@${idOf(4)}`]),
    });
  });

  test('keeps a retention of its own', async () => {
    const source = await sampleSource();
    const target = await newTarget();
    await mirror(source, target);
    await removeExport(target, `web1@${idOf(1)}`);
    await removeExport(source, `db1@${idOf(3)}`);
    // Of its own, also what the source lacks.
    expect(await mirror(source, target)).toMatchObject({ exports: [], older: 1, newest: [`db1@${idOf(3)}`, `web1@${idOf(3)}`] });
    expect(await exportsIn(target)).not.toContain(`web1/${idOf(1)}`);
    expect(await exportsIn(target)).toContain(`db1/${idOf(3)}`);
    expect(await mirror(source, target, { withOlder: true })).toMatchObject({ exports: [{ reference: `web1@${idOf(1)}` }], older: 0 });
  });

  test('goes on although its target has an export from the future, and names it', async () => {
    const source = await sampleSource();
    const target = await newTarget();
    await writeExport(target, ['of a clock that was ahead'], { ...sampleHeader, instance: 'web1', started: '2137-11-01T02:00:00.000Z' });
    const { exports, older, warnings } = await mirror(source, target, { instances: ['web1'] });
    expect({ exports, older }).toMatchObject({ exports: DAYS.map(() => ({ outcome: 'copied' })), older: 0 });
    expect(warnings).toEqual([expect.stringMatching(/^the start time of web1@21371101T020000Z is in the future/)]);
  });

  test('names an instance of which its target has only exports from the future', async () => {
    const source = new MemoryStore();
    await writeExport(source, ['of a clock that was ahead'], { ...sampleHeader, instance: 'web1', started: '2137-11-01T02:00:00.000Z' });
    expect(await mirror(source, await newTarget())).toMatchObject({ exports: [{ outcome: 'copied' }], newest: [], futureOnly: ['web1'] });
    expect(await mirror(await sampleSource(), await newTarget())).toMatchObject({ futureOnly: [] });
  });

  test('copies nothing in a dry run, and needs no store for it', async () => {
    const source = await sampleSource();
    const target = new MemoryStore();
    const { exports } = await mirror(source, target, { dryRun: true, newest: 1 });
    expect(exports.map(({ reference, outcome }) => `${outcome} ${reference}`)).toEqual([
      `planned db1@${idOf(3)}`,
      `planned web1@${idOf(3)}`,
    ]);
    expect(await Array.fromAsync(target.list(''))).toEqual([]);
    await expect(mirror(source, target)).rejects.toMatchObject({ code: 'STORE_NOT_FOUND' });
  });

  test('of instances that do not exist is refused', async () => {
    await expect(mirror(await sampleSource(), await newTarget(), { instances: ['mail*'] })).rejects.toMatchObject({
      code: 'EXPORT_NOT_FOUND',
    });
  });

  test('passes over what is damaged at its source, says so, and copies the rest', async () => {
    const source = await sampleSource();
    await put(source, `web1/${idOf(2)}/disk0.img`, 'web1, day X');
    const target = await newTarget();
    const { exports, warnings } = await mirror(source, target);
    expect(exports.filter(({ outcome }) => outcome === 'copied')).toHaveLength(5);
    expect(exports).toContainEqual(expect.objectContaining({ reference: `web1@${idOf(2)}`, outcome: 'failed', code: 'DUMP_DAMAGED' }));
    expect(warnings).toEqual([expect.stringContaining('DUMP_DAMAGED')]);
    expect(await keysOf(target, `web1/${idOf(2)}/`)).toEqual([]);
  });

  test('passes over what is removed at its source meanwhile, without an error', async () => {
    const source = await sampleSource();
    const target = await newTarget();
    const pruned = watchedStore(source, {
      before: async (call) => {
        if (call === `read web1/${idOf(2)}/disk0.img`)
          for (const key of await keysOf(source, `web1/${idOf(2)}/`)) await source.remove([key]);
      },
    });
    const { exports, warnings } = await mirror(pruned, target);
    expect({ outcomes: exports.map(({ outcome }) => outcome), warnings }).toEqual({ outcomes: Array(5).fill('copied'), warnings: [] });
    expect(await keysOf(target, `web1/${idOf(2)}/`)).toEqual([]);
  });

  test('ends when its target is full, and the next one continues', async () => {
    const source = await sampleSource();
    const memory = new Memory();
    const target = await newTarget(memory);
    let commits = 0;
    const full = watchedStore(target, {
      before: (call) => {
        if (call.startsWith('commit') && (commits += 1) > 20) throw new StoreError('full', { message: 'no space' });
      },
    });
    await expect(mirror(source, full)).rejects.toMatchObject({ code: 'STORE_FULL' });
    const arrived = await exportsIn(target);
    expect(arrived.length).toBeGreaterThan(0);
    expect(memory.unfinished.size).toBe(0);
    for (const key of await keysOf(target))
      expect(
        arrived.some((prefix) => key.startsWith(prefix)),
        key,
      ).toBe(true);
    expect((await mirror(source, target)).exports).toHaveLength(6 - arrived.length);
    for (const found of await exportsIn(target)) {
      await expect(verifyExport({ store: target, export: found.replace('/', '@') })).resolves.toMatchObject({ checksums: true });
    }
  });

  test('does not mix two stores in which one id means two exports', async () => {
    const source = await sampleSource();
    const target = await newTarget();
    await writeExport(target, ['of another store'], { ...sampleHeader, instance: 'web1', started: '2026-11-02T02:00:00.000Z' });
    const key = `web1/${idOf(2)}/manifest.json`;
    await put(target, key, (await get(target, key)).replace('"ended": "2026', '"ended": "2025'));
    const { exports } = await mirror(source, target, { instances: ['web1'] });
    expect(exports).toMatchObject([{ reference: `web1@${idOf(3)}`, outcome: 'failed', code: 'EXPORT_EXISTS' }]);
    expect(await exportsIn(target)).toEqual([`web1/${idOf(2)}`]);
  });

  test('copies nothing without a complete listing of both sides', async () => {
    const source = await sampleSource();
    for (const side of ['source', 'target'] as const) {
      const target = await newTarget();
      const broken = (store: Store): Store => ({
        ...watchedStore(store, {}),
        async *list(prefix, options) {
          let seen = 0;
          for await (const info of store.list(prefix, options)) {
            if (prefix === '' && (seen += 1) === 5) throw new StoreError('unavailable', { message: 'half a listing' });
            yield info;
          }
        },
      });
      if (side === 'target') for (const day of DAYS) await writeDay(target, 'other', day);
      const before = await keysOf(target);
      const [from, to] = side === 'source' ? [broken(source), target] : [source, broken(target)];
      await expect(mirror(from, to)).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
      expect(await keysOf(target)).toEqual(before);
    }
  });
});
