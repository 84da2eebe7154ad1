import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, keysOf, put, sampleHeader, sampleManifest, writeDump } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { removeExport } from '../exports/remove-export.ts';
import { storeSink } from '../exports/store-sink.ts';
import type { GantryEvent } from '../report/events.ts';
import { cleanUp } from './clean.ts';

const NAME = 'web1.example.com';
const ID = '20261123T081500Z';
const PREFIX = `${NAME}/${ID}/`;

/** What an unfinished export has in a store; its claim names a process of another host, or one of this host that is gone. */
async function leaveExport(store: Store, owner: 'elsewhere' | 'dead'): Promise<void> {
  const writer = await storeSink(store, { createStore: true }).open(sampleHeader);
  await writeDump(writer, 0, 'first');
  const claim = await get(store, `${PREFIX}export.claim`);
  const process =
    owner === 'dead' ? claim.replace(/"startTime": \d+/, '"startTime": 1') : claim.replace(/"host": ".*"/, '"host": "elsewhere"');
  await put(store, `${PREFIX}export.claim`, process);
}

async function left(store: Store): Promise<readonly string[]> {
  return (await keysOf(store, PREFIX)).map((key) => key.slice(PREFIX.length));
}

describe('an unfinished export of another host', () => {
  test('is kept by clean, and by an export of the same instance', async () => {
    await using bench = await makeOperationBench({});
    await leaveExport(bench.store, 'elsewhere');
    const things = await cleanUp({ store: bench.store, stateDirectory: bench.directory.file('state') });
    const command = `gantry clean ${bench.store.address} --export ${NAME}@${ID}`;
    expect(things).toEqual([
      {
        what: expect.stringMatching(`^unfinished export ${NAME}@${ID}: .*which may be running.*remove it with: ${command}$`),
        outcome: 'kept',
      },
    ]);
    expect((await bench.exportDisks()).warnings).toEqual([]);
    expect(await left(bench.store)).toEqual(['disk0.img', 'export.claim']);
  });

  test('is kept where another one is named, and in a dry run; it is cleared where it is named', async () => {
    await using bench = await makeOperationBench({});
    const { store } = bench;
    await leaveExport(store, 'elsewhere');
    const clean = async (request: { readonly exports: readonly string[]; readonly dryRun?: boolean }): Promise<readonly string[]> =>
      (await cleanUp({ store, stateDirectory: bench.directory.file('state'), ...request })).map(({ outcome }) => outcome);
    expect(await clean({ exports: [`${NAME}@20261123T081501Z`, NAME] })).toEqual(['kept']);
    expect(await clean({ exports: [`${NAME}@${ID}`], dryRun: true })).toEqual(['found']);
    expect(await left(store)).toEqual(['disk0.img', 'export.claim']);
    expect(await clean({ exports: [`${NAME}@${ID}`] })).toEqual(['cleared']);
    expect(await left(store)).toEqual([]);
  });
});

test('an export that is under way on this host is kept, named or not', async () => {
  await using bench = await makeOperationBench({});
  await using writer = await storeSink(bench.store, { createStore: true }).open(sampleHeader);
  await writeDump(writer, 0, 'first');
  const things = await cleanUp({ store: bench.store, stateDirectory: bench.directory.file('state'), exports: [writer.reference] });
  expect(things).toEqual([{ what: expect.stringContaining('which is running'), outcome: 'kept' }]);
  expect(await left(bench.store)).toEqual(['disk0.img', 'export.claim']);
});

test('an exporter that may not remove leaves what killed exports left, with a warning', async () => {
  await using bench = await makeOperationBench({});
  const store = watchedStore(bench.store, {
    before: (call) => {
      if (call.startsWith('remove ')) throw new StoreError('denied', { message: 'access denied' });
    },
  });
  await leaveExport(bench.store, 'dead');
  for (const incremental of [false, true]) {
    const { warnings, reference } = await bench.exportDisks({ store, incremental });
    expect(warnings).toEqual([
      expect.stringMatching(/^cannot clear what killed exports left in the store \(permission denied\)/),
      expect.stringMatching(/^could not remove the claim of .*, which is complete,/),
    ]);
    // As it is once this process has ended.
    const key = `${reference.replace('@', '/')}/export.claim`;
    await put(bench.store, key, (await get(bench.store, key)).replace(/"startTime": \d+/, '"startTime": 1'));
  }
  // The incremental one has made a frame map of what it took over.
  expect(await left(bench.store)).toEqual(['disk0.img', 'disk0.map', 'export.claim']);
  await cleanUp({ store: bench.store, stateDirectory: bench.directory.file('state') });
  expect(await left(bench.store)).toEqual([]);
});

test('an unfinished export of a process of this host that is gone is cleared by clean, and by an export of the same instance', async () => {
  await using bench = await makeOperationBench({});
  await leaveExport(bench.store, 'dead');
  expect(await cleanUp({ store: bench.store, stateDirectory: bench.directory.file('state') })).toMatchObject([{ outcome: 'cleared' }]);
  await leaveExport(bench.store, 'dead');
  expect((await bench.exportDisks()).warnings).toEqual([expect.stringContaining('cleared the remains of a killed export in the store')]);
  expect(await left(bench.store)).toEqual([]);
});

test('of an export that has just become complete, clean does not say that it was cleared', async () => {
  const memory = new MemoryStore();
  await leaveExport(memory, 'elsewhere');
  // Its exporter ends between the listing and the clearing.
  const store = watchedStore(memory, {
    after: async (call) => {
      if (call === 'pending ') await put(memory, `${PREFIX}manifest.json`, JSON.stringify(sampleManifest(ID, [])));
    },
  });
  await using bench = await makeOperationBench({ store });
  const things = await cleanUp({ store, stateDirectory: bench.directory.file('state'), exports: [`${NAME}@${ID}`] });
  expect(things).toEqual([{ what: `export ${NAME}@${ID}, which is complete now`, outcome: 'kept' }]);
  expect(await left(memory)).toEqual(['disk0.img', 'manifest.json']);
});

test('an export to remove that is not unfinished is named in a warning', async () => {
  await using bench = await makeOperationBench({});
  const { reference } = await bench.exportDisks();
  const said: string[] = [];
  const onEvent = (event: GantryEvent): void => void (event.type === 'warning' && said.push(event.message));
  const things = await cleanUp({ store: bench.store, stateDirectory: bench.directory.file('state'), exports: [reference], onEvent });
  expect(things).toEqual([]);
  expect(said).toEqual([`${reference} is not an unfinished export of ${bench.store.address}: nothing to remove`]);
});

test('an export whose claim a clean took that was killed after that is named with the command that removes it', async () => {
  await using bench = await makeOperationBench({});
  await leaveExport(bench.store, 'elsewhere');
  const killed = watchedStore(bench.store, {
    after: (call) => {
      if (call === `remove ${PREFIX}export.claim`) throw new StoreError('unavailable', { message: 'killed' });
    },
  });
  const stateDirectory = bench.directory.file('state');
  const exports = [`${NAME}@${ID}`];
  await expect(cleanUp({ store: killed, stateDirectory, exports })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
  expect(await left(bench.store)).toEqual(['disk0.img']);
  const said: string[] = [];
  const onEvent = (event: GantryEvent): void => void (event.type === 'warning' && said.push(event.message));
  expect(await cleanUp({ store: bench.store, stateDirectory, exports, onEvent })).toEqual([]);
  const command = `Once its writer has ended, and it is not needed, remove it with: gantry remove ${bench.store.address} ${NAME}@${ID}`;
  expect(said).toEqual([expect.stringContaining(command)]);
  await removeExport(bench.store, `${NAME}@${ID}`);
  expect(await left(bench.store)).toEqual([]);
});

test.each([
  ['of other files', 'pictures', ['logo.png']],
  ['of an export that Ganeti made', ID, ['config.ini', 'disk0.img']],
])('no command is named that removes a directory %s', async (_what, id, names) => {
  const store = new MemoryStore();
  await using bench = await makeOperationBench({ store });
  await bench.exportDisks();
  for (const name of names) await put(store, `${NAME}/${id}/${name}`, name);
  const said: string[] = [];
  const onEvent = (event: GantryEvent): void => void (event.type === 'warning' && said.push(event.message));
  await cleanUp({ store, stateDirectory: bench.directory.file('state'), exports: [`${NAME}@${id}`], onEvent });
  expect(said).toEqual([`${NAME}@${id} is not an unfinished export of ${store.address}: nothing to remove`]);
});

test('what was left behind beside a complete export is called that', async () => {
  await using bench = await makeOperationBench({});
  const { reference } = await bench.exportDisks();
  await put(bench.store, `${reference.replace('@', '/')}/export.claim`, '{}');
  const things = await cleanUp({ store: bench.store, stateDirectory: bench.directory.file('state'), exports: [reference] });
  expect(things).toEqual([{ what: expect.stringMatching(`^remains beside the complete export ${reference}`), outcome: 'cleared' }]);
  expect((await bench.importDisks(reference)).reference).toBe(reference);
});

test('in the end the store itself clears up what belongs to no export; not in a dry run', async () => {
  const cleared: string[] = [];
  const store = watchedStore(new MemoryStore(), { before: (call) => void (call.startsWith('clear') && cleared.push(call)) });
  await using bench = await makeOperationBench({ store });
  const request = { store, stateDirectory: bench.directory.file('state') };
  await cleanUp({ ...request, dryRun: true });
  expect(cleared).toEqual([]);
  await cleanUp(request);
  expect(cleared).toEqual(['clear ']);
});
