import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { readText } from './small-object.ts';

describe('an object that is read as a text', () => {
  test('has at most the bytes that it may have', async () => {
    const store = new MemoryStore();
    await put(store, 'key', 'text');
    expect(await readText(store, 'key', 4)).toBe('text');
    await expect(readText(store, 'key', 3)).rejects.toThrow('it is too large: 4 bytes, and at most 3 are allowed');
  });

  test('is UTF-8', async () => {
    const store = new MemoryStore();
    await put(store, 'key', Buffer.of(0xc3, 0x28));
    await expect(readText(store, 'key', 10)).rejects.toThrow('it is not UTF-8 text');
  });

  test('is not read any further when a store sends more than it said, and its source is closed', async () => {
    let sent = 0;
    let closed = false;
    const talkative: Store = {
      ...watchedStore(new MemoryStore(), {}),
      read: async () => ({
        length: 2,
        objectSize: 2,
        async *[Symbol.asyncIterator]() {
          for (; sent < 1000; sent += 1) yield Buffer.from('xx');
        },
        async [Symbol.asyncDispose]() {
          closed = true;
        },
      }),
    };
    await expect(readText(talkative, 'key', 10)).rejects.toThrow('it is too large: more than 10 bytes');
    expect({ sent, closed }).toEqual({ sent: 5, closed: true });
  });
});
