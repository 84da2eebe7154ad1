import type { Check } from './check.ts';
import { bytesOf, inPieces } from './data.ts';
import { expect, expectEqual } from './expect.ts';

/** In the order of their bytes: `-` `.` `/` `0` `=` `@` `A` `_` `a`. */
const SORTED = ['B', 'Z/9', '_', 'a-b', 'a.b', 'a.b.c/x', 'a/b', 'a/b-c', 'a/b.c', 'a/c/d', 'a0', 'a=b', 'a@b', 'aA', 'a_b', 'aa', 'b'];

function within(prefix: string): readonly string[] {
  return SORTED.filter((name) => name.startsWith(prefix));
}

export const listing: readonly Check[] = [
  {
    title: 'objects come in the order of the bytes of their keys, with their size',
    check: async (room) => {
      const shuffled = SORTED.toSorted((a, b) =>
        bytesOf(4, a.length * 7 + a.charCodeAt(0)).compare(bytesOf(4, b.length * 5 + b.charCodeAt(0))),
      );
      for (const name of shuffled) await room.write(name, bytesOf(SORTED.indexOf(name) * 10, 1));
      const listed = await Array.fromAsync((await room.another()).list(room.prefix));
      expectEqual(
        listed.map(({ key, size }) => ({ key, size })),
        SORTED.map((name, index) => ({ key: room.key(name), size: index * 10 })),
        'the listing',
      );
      for (const { modified } of listed) expect(Number.isFinite(modified.getTime()), 'list gives no valid time');
      for (const prefix of ['a/', 'a.b.c/', 'a/c/', 'Z/', 'b/', 'c/']) {
        const names = (await Array.fromAsync(room.store.list(room.key(prefix)))).map(({ key }) => key.slice(room.prefix.length));
        expectEqual(names, within(prefix), `the listing of ${prefix}`);
      }
    },
  },
  {
    title: 'a listing of everything holds what is there',
    check: async (room) => {
      await room.write('among/all', bytesOf(10, 1));
      let found = false;
      for await (const { key } of room.store.list('')) found ||= key === room.key('among/all');
      expect(found, 'the object is not in the listing of everything');
    },
  },
  {
    title: 'unfinished writes are in no listing',
    check: async (room) => {
      await room.write('whole', bytesOf(10, 1));
      await using pending = await room.begin('unfinished/one');
      await pending.append(inPieces(bytesOf(100_000, 2), 10_000));
      expectEqual(await room.names(), ['whole'], 'the listing');
      for await (const { key } of room.store.list('')) {
        expect(!key.includes(pending.token) && key !== pending.key, `${key} of an unfinished write is in the listing of everything`);
      }
    },
  },
  {
    title: 'a listing of nothing is empty',
    check: async (room) => {
      await room.write('object', bytesOf(10, 1));
      expectEqual(await Array.fromAsync(room.store.list(room.key('nothing/'))), [], 'the listing of nothing/');
      expectEqual(await Array.fromAsync(room.store.list(room.key('object/'))), [], 'the listing beneath an object');
      expectEqual(await Array.fromAsync(room.store.pending(room.key('nothing/'))), [], 'unfinished writes under nothing/');
    },
  },
  {
    title: 'a listing can be left in the middle, and changed while it is read',
    check: async (room) => {
      for (const name of ['1', '2/a', '3', '4/a', '5']) await room.write(name, bytesOf(10, 1));
      for await (const { key } of room.store.list(room.prefix)) {
        expectEqual(key, room.key('1'), 'the first of the listing');
        break;
      }
      const seen: string[] = [];
      for await (const { key } of room.store.list(room.prefix)) {
        seen.push(key);
        await room.store.remove([key]);
      }
      expectEqual(
        seen,
        ['1', '2/a', '3', '4/a', '5'].map((name) => room.key(name)),
        'what a listing gave while all was removed',
      );
      expectEqual(await room.names(), [], 'the listing afterwards');
    },
  },
];
