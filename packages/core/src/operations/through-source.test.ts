import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import { get, put } from '../../test/sample-export.ts';
import { listExports } from '../exports/list-exports.ts';
import { memorySource } from '../instances/testing/memory-inventory.ts';
import { memoryTransfers } from '../instances/testing/memory-transfers.ts';
import { cleanUp } from './clean.ts';
import { exportFromSource } from './export-from-source.ts';
import { importIntoSource } from './import-into-source.ts';

/* A source in memory stands for Ganeti, so that it can fail at each step; packages/inventory-ganeti has the tests with a real cluster. */

const NAME = 'web9.example.com';

describe('importIntoSource', () => {
  test('makes an instance with the disks of the export, and what was asked for', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { reference } = await bench.exportDisks();
    const world = memoryTransfers();
    const result = await importIntoSource({
      ...common(bench),
      export: reference,
      source: world.source,
      diskTemplate: 'drbd',
      nodes: ['node1', 'node2'],
    });
    expect(result).toMatchObject({ reference, instance: NAME, disks: [0, 1], plainBytes: 2 * DISK_BYTES, dryRun: false });
    const made = world.made.get(NAME);
    expect(made).toMatchObject({
      isComplete: true,
      request: { originalName: bench.instance.name, nodes: ['node1', 'node2'], instance: { disk_template: 'drbd', os: 'raw' } },
    });
    expect(made?.request.instance.disks.map(({ size }) => size)).toEqual([1, 1]);
    for (const [index, { path = '' }] of bench.instance.disks.entries()) expect(made?.disks[index]).toEqual(await readFile(path));
    await expect(cleanUp({ stateDirectory: bench.directory.file('state') })).resolves.toEqual([]);
  });

  test('a dry run makes nothing, and says what it would', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks();
    const world = memoryTransfers();
    const result = await importIntoSource({ ...common(bench), export: reference, source: world.source, dryRun: true });
    expect(result).toMatchObject({ dryRun: true, plan: { into: NAME, disks: [{ disk: 0, holds: 'empty', incomingBytes: DISK_BYTES }] } });
    expect(world.made.size).toBe(0);
  });

  test('a damaged dump leaves nothing, and is the error', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { reference } = await bench.exportDisks({ codec: 'none' });
    const key = `${reference.replace('@', '/')}/disk1.img`;
    await put(bench.store, key, Buffer.alloc((await get(bench.store, key)).length, 'x'));
    const world = memoryTransfers();
    const failing = importIntoSource({ ...common(bench), export: reference, source: world.source });
    await expect(failing).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
    expect(world.made.size).toBe(0);
  });

  test('a source that says at the end that it failed leaves nothing', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks();
    const world = memoryTransfers({ onComplete: () => expectFailure('disk 0 was not received') });
    const failing = importIntoSource({ ...common(bench), export: reference, source: world.source });
    await expect(failing).rejects.toThrow('disk 0 was not received');
    expect(world.made.size).toBe(0);
    await expect(cleanUp({ stateDirectory: bench.directory.file('state') })).resolves.toEqual([]);
  });

  test('what cannot be removed is warned of', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks();
    const onDiscard = (): void => expectFailure('the cluster is away');
    const world = memoryTransfers({ onComplete: () => expectFailure('disk 0 was not received'), onDiscard });
    const warnings: string[] = [];
    const onEvent = (event: { readonly type: string; readonly message?: string }): void => {
      if (event.type === 'warning') warnings.push(event.message ?? '');
    };
    const failing = importIntoSource({ ...common(bench), export: reference, source: world.source, onEvent });
    await expect(failing).rejects.toThrow('disk 0 was not received');
    expect(warnings.join('\n')).toContain(`${NAME} may still be in memory:`);
    expect(world.made.get(NAME)?.isComplete).toBe(false);
  });

  test('an instance that the source may still make is named by later runs', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks();
    const world = memoryTransfers({ onCreate: () => expectFailure('no answer within 65 s') });
    const failing = importIntoSource({ ...common(bench), export: reference, source: world.source });
    await expect(failing).rejects.toThrow('no answer within 65 s');
    const left = JSON.stringify(await cleanUp({ stateDirectory: bench.directory.file('state') }));
    expect(left).toContain(`${NAME} may be in memory: with disks that are not complete`);
  });

  test('an export of some disks alone does not make an instance', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { reference } = await bench.exportDisks({ disks: [1] });
    const failing = importIntoSource({ ...common(bench), export: reference, source: memoryTransfers().source });
    await expect(failing).rejects.toMatchObject({ code: 'DUMP_MISSING', message: expect.stringContaining('disk 0') });
  });

  test('a source that only describes is refused', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks();
    const failing = importIntoSource({ ...common(bench), export: reference, source: memorySource() });
    await expect(failing).rejects.toMatchObject({ code: 'INVENTORY_FAILED', message: expect.stringContaining('memory:') });
  });
});

describe('exportFromSource', () => {
  const data = [Buffer.alloc(100_000, 'first'), Buffer.alloc(5_000_000, 'second')];

  test('exports what the source sends, and it can be imported', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { source, listens } = memoryTransfers({ disks: data });
    const { instance, store, directory } = bench;
    const result = await exportFromSource({ ...local(bench), instance, store, source, createStore: true, listen: '192.0.2.7:7000' });
    expect(listens).toEqual(['192.0.2.7:7000']);
    expect(result.dumps).toMatchObject(data.map(({ length }, index) => ({ index, plainBytes: length, snapshot: 'source' })));
    const world = memoryTransfers();
    await importIntoSource({ ...common(bench), export: result.reference, source: world.source });
    expect(world.made.get(NAME)?.disks).toEqual(data);
    await expect(cleanUp({ stateDirectory: directory.file('state'), store })).resolves.toEqual([]);
  });

  test('nothing is committed before the source says that all is complete', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { source } = memoryTransfers({ disks: data, onComplete: () => expectFailure('disk 1 failed to send data') });
    const { instance, store, directory } = bench;
    const failing = exportFromSource({ ...local(bench), instance, store, source, createStore: true });
    await expect(failing).rejects.toThrow('disk 1 failed to send data');
    expect(await Array.fromAsync(listExports(store))).toEqual([]);
    await expect(cleanUp({ stateDirectory: directory.file('state'), store })).resolves.toEqual([]);
  });

  test('an instance that has another number of disks by now is not exported', async () => {
    await using bench = await makeOperationBench({ disks: 2 });
    const { source } = memoryTransfers({ disks: data.slice(1) });
    const { instance, store } = bench;
    const failing = exportFromSource({ ...local(bench), instance, store, source, createStore: true });
    await expect(failing).rejects.toMatchObject({ code: 'INVENTORY_FAILED', message: expect.stringContaining('1 disks now') });
  });
});

function expectFailure(message: string): never {
  throw new Error(message);
}

type Bench = Awaited<ReturnType<typeof makeOperationBench>>;

function local({ directory }: Bench) {
  return { stateDirectory: directory.file('state') };
}

function common(bench: Bench) {
  return { ...local(bench), store: bench.store, name: NAME };
}
