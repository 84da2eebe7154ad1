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
    title: 'objects are listed in the order of the bytes of their keys, with their size',
    check: async (fixture) => {
      const shuffled = SORTED.toSorted((a, b) =>
        bytesOf(4, a.length * 7 + a.charCodeAt(0)).compare(bytesOf(4, b.length * 5 + b.charCodeAt(0))),
      );
      for (const name of shuffled) await fixture.write(name, bytesOf(SORTED.indexOf(name) * 10, 1));
      const listed = await Array.fromAsync((await fixture.another()).list(fixture.prefix));
      expectEqual(
        listed.map(({ key, size }) => ({ key, size })),
        SORTED.map((name, index) => ({ key: fixture.key(name), size: index * 10 })),
        'the listing',
      );
      for (const { modified } of listed) expect(Number.isFinite(modified.getTime()), 'list returned an invalid time');
      for (const prefix of ['a/', 'a.b.c/', 'a/c/', 'Z/', 'b/', 'c/']) {
        const names = (await Array.fromAsync(fixture.store.list(fixture.key(prefix)))).map(({ key }) => key.slice(fixture.prefix.length));
        expectEqual(names, within(prefix), `the listing of ${prefix}`);
      }
    },
  },
  {
    title: 'a listing of everything contains an object',
    check: async (fixture) => {
      await fixture.write('among/all', bytesOf(10, 1));
      let found = false;
      for await (const { key } of fixture.store.list('')) found ||= key === fixture.key('among/all');
      expect(found, 'the object is not in the listing of everything');
    },
  },
  {
    title: 'unfinished writes are not listed',
    check: async (fixture) => {
      await fixture.write('complete', bytesOf(10, 1));
      await using pending = await fixture.begin('unfinished/one');
      await pending.append(inPieces(bytesOf(100_000, 2), 10_000));
      expectEqual(await fixture.names(), ['complete'], 'the listing');
      for await (const { key } of fixture.store.list('')) {
        expect(!key.includes(pending.token) && key !== pending.key, `${key} of an unfinished write is in the listing of everything`);
      }
    },
  },
  {
    title: 'a listing of nothing is empty',
    check: async (fixture) => {
      await fixture.write('object', bytesOf(10, 1));
      expectEqual(await Array.fromAsync(fixture.store.list(fixture.key('nothing/'))), [], 'the listing of nothing/');
      expectEqual(await Array.fromAsync(fixture.store.list(fixture.key('object/'))), [], 'the listing below an object');
      expectEqual(await Array.fromAsync(fixture.store.pending(fixture.key('nothing/'))), [], 'unfinished writes under nothing/');
    },
  },
  {
    title: 'a listing can be left early, and the store changed while it is read',
    check: async (fixture) => {
      for (const name of ['1', '2/a', '3', '4/a', '5']) await fixture.write(name, bytesOf(10, 1));
      for await (const { key } of fixture.store.list(fixture.prefix)) {
        expectEqual(key, fixture.key('1'), 'the first of the listing');
        break;
      }
      const seen: string[] = [];
      for await (const { key } of fixture.store.list(fixture.prefix)) {
        seen.push(key);
        await fixture.store.remove([key]);
      }
      expectEqual(
        seen,
        ['1', '2/a', '3', '4/a', '5'].map((name) => fixture.key(name)),
        'a listing during the removal of its objects',
      );
      expectEqual(await fixture.names(), [], 'the listing afterwards');
    },
  },
];
