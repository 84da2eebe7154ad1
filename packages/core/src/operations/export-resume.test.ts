import { readFile } from 'node:fs/promises';

import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { makeRandomFile, makeSparseFile } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, put } from '../../test/sample-export.ts';
import { sampleInstance } from '../../test/sample-instance.ts';
import { removeExport } from '../exports/remove-export.ts';
import { surveyStore } from '../exports/survey.ts';
import type { ExportRequest, ExportResult } from './export.ts';

const MiB = 1024 * 1024;
const FRAMES = 10;
const DISK_BYTES = FRAMES * 4 * MiB;

interface Bench extends OperationBench {
  /** What the exports said of their disks. */
  readonly said: string[];
  readonly paths: readonly string[];
  /** Exports the disks as they are, unless another OS definition is given. */
  attempt(request?: Partial<ExportRequest> & { readonly os?: string }): Promise<ExportResult>;
  /** Imports, and compares with the disks. */
  expectSame(reference: string): Promise<void>;
  /** The names of all objects. */
  names(): Promise<readonly string[]>;
}

/** Disks of 40 MiB. Scripts fail after half of a disk beside which there is a file with `.half`. */
async function openBench(disks = 1): Promise<Bench> {
  const store = new MemoryStore();
  const half = `if [ -e "$EXPORT_DEVICE.half" ]; then head -c ${DISK_BYTES / 2} "$EXPORT_DEVICE"; exit 3; fi; cat "$EXPORT_DEVICE"`;
  const bench = await makeOperationBench({ scripts: { export: half }, store });
  const paths = Array.from({ length: disks }, (_, index) => bench.directory.file(`large${index}.img`));
  for (const path of paths) await makeRandomFile(path, DISK_BYTES, path);
  const instanceOf = (all: readonly string[], os: string) => sampleInstance({ os, disks: all.map((path) => ({ path, access: 'rw' })) });
  const said: string[] = [];
  return {
    ...bench,
    said,
    paths,
    attempt: ({ os = 'raw', ...request } = {}) =>
      bench.exportDisks({
        instance: instanceOf(paths, os),
        incremental: true,
        onEvent: (event) => event.type === 'stage' && event.message.startsWith('disk ') && said.push(event.message),
        ...request,
      }),
    async expectSame(reference) {
      const targets = paths.map((path) => `${path}.target`);
      for (const target of targets) await makeSparseFile(target, DISK_BYTES);
      await bench.importDisks(reference, { instance: instanceOf(targets, 'raw') });
      for (const [index, target] of targets.entries())
        expect((await readFile(target)).equals(await readFile(paths[index] ?? '')), `disk ${index}`).toBe(true);
    },
    names: async () => (await keysOf(store)).map((key) => key.split('/').at(-1) ?? ''),
  };
}

async function keysOf(store: Store): Promise<readonly string[]> {
  return (await Array.fromAsync(store.list(''))).map(({ key }) => key);
}

/** Aborts when so much of a disk was read. */
function cutAt(bytes: number): Pick<ExportRequest, 'signal' | 'onEvent'> {
  const cut = new AbortController();
  return {
    signal: cut.signal,
    onEvent: (event) => event.type === 'progress' && event.plainBytes >= bytes && cut.abort(new Error('cut off')),
  };
}

describe('an incremental export that is cut off', () => {
  test('leaves what it has stored for the next one, also the first of a lineage; nothing is stored twice', async () => {
    await using bench = await openBench();
    await expect(bench.attempt(cutAt(DISK_BYTES / 2))).rejects.toThrow('cut off');
    expect(await bench.names()).toEqual(['gantry-store.json', 'cut-off.json', 'disk0.map', 'disk0.zst', 'removed.json']);
    const result = await bench.attempt();
    expect(bench.said).toEqual([
      expect.stringMatching(/^disk 0: going on with what \S+, which was cut off, has stored of its first \d+ bytes$/),
    ]);
    const { known, new: added } = result.incremental ?? {};
    expect(known?.frames).toBeGreaterThanOrEqual(FRAMES / 2);
    expect((known?.frames ?? 0) + (added?.frames ?? 0)).toBe(FRAMES);
    expect(result.storedBytes).toBeLessThan(DISK_BYTES - (known?.bytes ?? 0) + MiB);
    await bench.expectSame(result.reference);
    expect(await bench.names()).not.toContain('cut-off.json');
    const next = await bench.attempt();
    expect(next.incremental).toMatchObject({ parents: [result.reference], known: { frames: FRAMES } });
    await bench.expectSame(next.reference);
  });

  test('several times, with a parent, goes on from all that was stored; a prune in between leaves that alone', async () => {
    await using bench = await openBench();
    const first = await bench.attempt();
    for (const path of bench.paths) await makeRandomFile(path, DISK_BYTES, 'another');
    for (const part of [0.3, 0.6]) await expect(bench.attempt(cutAt(part * DISK_BYTES))).rejects.toThrow('cut off');
    const left = (await Array.fromAsync(surveyStore(bench.store))).flat();
    expect(left.filter(({ state }) => state === 'unrelated')).toHaveLength(2);
    const result = await bench.attempt();
    expect(result.incremental?.parents).toEqual([first.reference]);
    expect(result.incremental?.known.frames).toBeGreaterThanOrEqual(0.5 * FRAMES);
    await bench.expectSame(result.reference);
    const after = (await Array.fromAsync(surveyStore(bench.store))).flat();
    expect(after.filter(({ state }) => state === 'removed')).toHaveLength(2);
  });

  test('is passed over if its frame map is not what it was', async () => {
    await using bench = await openBench();
    await expect(bench.attempt(cutAt(DISK_BYTES / 2))).rejects.toThrow('cut off');
    const key = (await keysOf(bench.store)).find((each) => each.endsWith('/disk0.map')) ?? '';
    const map = await get(bench.store, key);
    // It is still a valid map, of the same size.
    await put(bench.store, key, map.replace(/(frame \d+ )[0-9a-f]{64}/, `$1${'ab'.repeat(32)}`));
    const result = await bench.attempt();
    expect(bench.said).toEqual([]);
    expect(result.storedBytes).toBeGreaterThanOrEqual(DISK_BYTES);
    await bench.expectSame(result.reference);
  });

  test('by the script of one disk fails with its error, and what there is of all disks is kept', async () => {
    await using bench = await openBench(2);
    await makeRandomFile(`${bench.paths[1]}.half`, 1, 'half');
    await expect(bench.attempt({ os: 'mine', parallel: 1 })).rejects.toMatchObject({ code: 'SCRIPT_FAILED', disk: 1 });
    expect((await bench.names()).filter((name) => name.endsWith('.map'))).toEqual(['disk0.map', 'disk1.map']);
    const result = await bench.attempt();
    await bench.expectSame(result.reference);
  });

  test('can be forgotten by removing what is left of it', async () => {
    await using bench = await openBench();
    await expect(bench.attempt(cutAt(DISK_BYTES / 2))).rejects.toThrow('cut off');
    const [instance, id] = (await keysOf(bench.store)).find((key) => key.endsWith('cut-off.json'))?.split('/') ?? [];
    await removeExport(bench.store, `${instance}@${id}`);
    expect(await bench.names()).toEqual(['gantry-store.json']);
  });

  test('leaves nothing if it had stored nothing, or was not incremental', async () => {
    await using bench = await openBench();
    await expect(bench.attempt({ signal: AbortSignal.abort(new Error('at once')) })).rejects.toThrow('at once');
    await expect(bench.attempt({ ...cutAt(DISK_BYTES / 2), incremental: false })).rejects.toThrow('cut off');
    expect((await bench.names()).filter((name) => name !== 'gantry-store.json')).toEqual([]);
  });
});
