import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { exportInstance, loadInstanceFile, verifyStore } from '@gantry/core';
import type { TemporaryDirectory } from '@gantry/testkit';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { alterStore } from '@gantry/transport';
import { expect, test } from 'vitest';
import { sampleRequest } from '../test/request.ts';
import { recentExport } from './recent-exports.ts';

const { signal } = new AbortController();

interface Fixture {
  readonly store: Store;
  /** The newest export of web1. */
  readonly newest: string;
  /** Ids of the older ones. */
  readonly older: readonly string[];
  readonly find: (store: Store) => Promise<string | undefined>;
}

/** Exports web1 three times. */
async function exportThrice(home: TemporaryDirectory): Promise<Fixture> {
  const { openStore, stateDirectory } = await sampleRequest({ home, policy: 'stores: first', signal });
  const store = await openStore('first', 'write');
  const instance = await loadInstanceFile(home.file('web1.yaml'));
  const made: string[] = [];
  for (let time = 0; time < 3; time += 1)
    made.push((await exportInstance({ instance, store, createStore: true, stateDirectory, signal })).reference);
  return {
    store,
    newest: made.at(-1) ?? '',
    older: made.slice(0, -1).map((reference) => reference.replace('web1@', '')),
    find: (asked) => recentExport(asked, instance, { since: new Date(0), stateDirectory, signal }),
  };
}

test('a recent export is found without reading the other exports, or what is known of other instances', async () => {
  await using home = await makeTemporaryDirectory();
  const { store, newest, older, find } = await exportThrice(home);
  await using _store = store;
  const asked: string[] = [];
  const noting =
    <R extends readonly unknown[], T>(call: (key: string, ...rest: R) => T) =>
    (key: string, ...rest: R): T => {
      asked.push(key);
      return call(key, ...rest);
    };
  const watched = alterStore(store, { read: noting(store.read.bind(store)), list: noting(store.list.bind(store)) });
  expect(await find(watched)).toBe(newest);
  expect(asked.filter((key) => older.some((id) => key.includes(`/${id}/`)))).toEqual([]);
  expect(asked.filter((key) => key.startsWith('gantry-verified/'))).toEqual(['gantry-verified/instances/web1/']);
});

test('one in which a verification found damage does not count', async () => {
  await using home = await makeTemporaryDirectory();
  const { store, newest, find } = await exportThrice(home);
  await using _store = store;
  const directory = home.file('first', ...newest.split('@'));
  const dump = (await readdir(directory)).find((name) => name.startsWith('disk0')) ?? '';
  const bytes = await readFile(join(directory, dump));
  bytes.reverse();
  await writeFile(join(directory, dump), bytes);
  // Names and sizes are as they were.
  expect(await find(store)).toBe(newest);
  expect(await verifyStore({ store, stateDirectory: home.file('state'), signal })).toMatchObject({ damaged: 1 });
  expect(await find(store)).toBeUndefined();
});
