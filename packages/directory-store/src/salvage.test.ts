import { Buffer } from 'node:buffer';
import type { PendingInfo } from '@gantry/transport';
import { StoreError } from '@gantry/transport';
import { expect, test } from 'vitest';
import { DirectoryStore } from './directory-store.ts';
import type { Step } from './testing/disk.ts';
import { DiskDirectory } from './testing/disk.ts';
import { MemoryFileSystem } from './testing/memory-file-system.ts';
import { contentsOf, inChunks, pathsOn, put, storeOn } from './testing/objects.ts';

const CONTENT = Buffer.alloc(5000, 'what was durable ');

/** A store in which a write of `a/disk0` was left, and its token. */
async function leftOn(disk: DiskDirectory): Promise<string> {
  const orphan = await storeOn(disk).begin('a/disk0');
  await orphan.append(inChunks(CONTENT, 700));
  await orphan.suspend();
  return orphan.token;
}

const dataOn = (disk: DiskDirectory): readonly string[] => pathsOn(disk).filter((path) => path.includes('/data-'));

async function pendingOn(disk: DiskDirectory): Promise<readonly Pick<PendingInfo, 'key' | 'durableBytes'>[]> {
  const all = await Array.fromAsync(storeOn(disk).pending(''));
  return all.map(({ key, durableBytes }) => ({ key, durableBytes }));
}

class SmallFileSystem extends MemoryFileSystem {
  async space(): Promise<{ readonly freeBytes: number; readonly readOnly: boolean }> {
    return { freeBytes: CONTENT.length - 1, readOnly: false };
  }
}

test('what does not fit into the store a second time is not salvaged, and stays as it is', async () => {
  const disk = new DiskDirectory();
  const token = await leftOn(disk);
  const before = pathsOn(disk);
  const steps: Step[] = [];
  const fileSystem = new SmallFileSystem(disk, { before: (step) => void steps.push(step) });
  await using store = new DirectoryStore(fileSystem, { address: 'memory:', shown: 'memory', warn: () => undefined });
  expect(await store.salvage(token)).toBeUndefined();
  expect(pathsOn(disk)).toEqual(before);
  expect(steps).toEqual([]);
});

test('what killed salvaging has left does not add up', async () => {
  const disk = new DiskDirectory();
  const token = await leftOn(disk);
  for (const calls of [3, 5]) {
    let count = 0;
    const killed = storeOn(disk, {
      before: () => {
        if ((count += 1) > calls) throw new Error('killed');
      },
    });
    await expect(killed.salvage(token)).rejects.toThrow('killed');
    expect(dataOn(disk), `after ${calls} calls`).toHaveLength(2);
  }
  const atCreate: number[] = [];
  const store = storeOn(disk, {
    before: ({ call, path }) => void (call === 'create' && path.includes('/data-') && atCreate.push(dataOn(disk).length)),
  });
  expect(await store.salvage(token)).toMatchObject({ size: CONTENT.length });
  expect(atCreate).toEqual([1]);
  expect(await contentsOf(store)).toEqual(new Map([['a/disk0', CONTENT.toString('latin1')]]));
  expect(pathsOn(disk)).toEqual(['a', 'a/disk0']);
});

test('what cannot be committed is as it was, and can be salvaged later', async () => {
  const disk = new DiskDirectory();
  const token = await leftOn(disk);
  const before = pathsOn(disk).toSorted();
  const failing = storeOn(disk, {
    before: ({ call }) => {
      if (call === 'link') throw new StoreError('unavailable', { message: 'the connection was cut' });
    },
  });
  await expect(failing.salvage(token)).rejects.toMatchObject({ code: 'unavailable' });
  expect(pathsOn(disk).toSorted()).toEqual(before);
  expect(await pendingOn(disk)).toEqual([{ key: 'a/disk0', durableBytes: CONTENT.length }]);
  expect(await storeOn(disk).salvage(token)).toMatchObject({ key: 'a/disk0', size: CONTENT.length });
});

test('where the object is there already, the write goes, and the object stays', async () => {
  const disk = new DiskDirectory();
  const token = await leftOn(disk);
  await put(storeOn(disk), 'a/disk0', Buffer.from('there'));
  await expect(storeOn(disk).salvage(token)).rejects.toMatchObject({ code: 'exists' });
  expect(await pendingOn(disk)).toEqual([]);
  expect(await contentsOf(storeOn(disk))).toEqual(new Map([['a/disk0', 'there']]));
});
