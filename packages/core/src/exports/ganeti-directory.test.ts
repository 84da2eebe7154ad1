import type { Store } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { isGanetiDirectory } from './ganeti-directory.ts';

function storeAt(address: string): Store {
  return { ...watchedStore(new MemoryStore(), {}), address };
}

describe('a store is the directory where Ganeti keeps its exports', () => {
  test.each([
    'file:///var/lib/ganeti/export',
    'file:///var/lib/ganeti/export/',
    'file:///srv/ganeti/export',
    'ssh://backup@node2:2222/var/lib/ganeti/export',
    'file:///var/lib/ganeti/ex%70ort',
  ])('by its path: %s', async (address) => {
    expect(await isGanetiDirectory(storeAt(address), 'web1', {})).toBe(true);
  });

  // What lies deeper is not removed by Ganeti.
  test.each(['file:///var/lib/ganeti/export/gantry', 'file:///srv/exports', 's3://ganeti/export', 'file:///%zz', 'no address'])(
    'and this is another one: %s',
    async (address) => {
      expect(await isGanetiDirectory(storeAt(address), 'web1', {})).toBe(false);
    },
  );

  test('by an export of the instance that Ganeti made there', async () => {
    const store = storeAt('file:///mnt/export');
    await put(store, 'web1/config.ini', '[export]');
    expect(await isGanetiDirectory(store, 'web1', {})).toBe(true);
    expect(await isGanetiDirectory(store, 'web2', {})).toBe(false);
  });

  test('is not known where this user may not look', async () => {
    const store = watchedStore(new MemoryStore(), {
      before: (call) => {
        if (call.startsWith('stat')) throw new StoreError('denied', { message: 'no' });
      },
    });
    expect(await isGanetiDirectory(store, 'web1', {})).toBe(false);
  });
});

test('an export into it is warned of, and one elsewhere is not', async () => {
  await using bench = await makeOperationBench({});
  expect((await bench.exportDisks()).warnings).toEqual([]);
  const { warnings } = await bench.exportDisks({ store: storeAt('file:///var/lib/ganeti/export') });
  expect(warnings).toEqual([expect.stringContaining('is where Ganeti keeps its own exports')]);
});
