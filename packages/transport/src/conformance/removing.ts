import type { Check } from './check.ts';
import { bytesOf } from './data.ts';
import { expectBytes, expectEqual } from './expect.ts';

const BYTES = bytesOf(100, 1);

export const removing: readonly Check[] = [
  {
    title: 'a removed object is gone, and its key is free',
    check: async (room) => {
      await room.write('x/gone', BYTES);
      await room.store.remove([room.key('x/gone')]);
      await room.expectNothingLeft('x/gone', 'after remove');
      await room.write('x/gone', bytesOf(50, 2));
      expectBytes(await room.read('x/gone'), bytesOf(50, 2), 'the object that was written afterwards');
    },
  },
  {
    title: 'removing what is not there is no error',
    check: async (room) => {
      await room.write('there', BYTES);
      await room.store.remove([]);
      await room.store.remove([room.key('missing')]);
      await room.store.remove([room.key('missing/too'), room.key('there/beneath')]);
      expectEqual(await room.names(), ['there'], 'the listing');
      await room.store.remove([room.key('there')]);
      await room.store.remove([room.key('there')]);
      expectEqual(await room.names(), [], 'the listing');
    },
  },
  {
    title: 'many are removed in one call, some of them not there and some named twice',
    check: async (room) => {
      const there = Array.from({ length: 12 }, (_, index) => `n${index % 3}/${index}`);
      await Promise.all(there.map((name) => room.write(name, BYTES)));
      await room.write('n0/kept', BYTES);
      const missing = Array.from({ length: 1_100 }, (_, index) => room.key(`missing/${index}`));
      const keys = there.map((name) => room.key(name));
      await room.store.remove([...keys.slice(0, 6), ...missing, ...keys.slice(5)]);
      expectEqual(await room.names(), ['n0/kept'], 'the listing');
    },
  },
  {
    title: 'removing a beginning of keys removes nothing',
    check: async (room) => {
      await room.write('above/one', BYTES);
      await room.store.remove([room.key('above'), room.key('abov')]);
      expectBytes(await room.read('above/one'), BYTES, 'the object beneath');
    },
  },
];
