import type { Check } from './check.ts';
import { bytesOf } from './data.ts';
import { expectBytes, expectEqual } from './expect.ts';

const BYTES = bytesOf(100, 1);

export const removing: readonly Check[] = [
  {
    title: 'a removed object is gone, and its key can be written again',
    check: async (fixture) => {
      await fixture.write('x/gone', BYTES);
      await fixture.store.remove([fixture.key('x/gone')]);
      await fixture.expectNothingLeft('x/gone', 'after remove');
      await fixture.write('x/gone', bytesOf(50, 2));
      expectBytes(await fixture.read('x/gone'), bytesOf(50, 2), 'the object that was written afterwards');
    },
  },
  {
    title: 'removing a missing object succeeds',
    check: async (fixture) => {
      await fixture.write('there', BYTES);
      await fixture.store.remove([]);
      await fixture.store.remove([fixture.key('missing')]);
      await fixture.store.remove([fixture.key('missing/too'), fixture.key('there/beneath')]);
      expectEqual(await fixture.names(), ['there'], 'the listing');
      await fixture.store.remove([fixture.key('there')]);
      await fixture.store.remove([fixture.key('there')]);
      expectEqual(await fixture.names(), [], 'the listing');
    },
  },
  {
    title: 'many are removed in one call, some of them missing and some given twice',
    check: async (fixture) => {
      const there = Array.from({ length: 12 }, (_, index) => `n${index % 3}/${index}`);
      await Promise.all(there.map((name) => fixture.write(name, BYTES)));
      await fixture.write('n0/kept', BYTES);
      const missing = Array.from({ length: 1_100 }, (_, index) => fixture.key(`missing/${index}`));
      const keys = there.map((name) => fixture.key(name));
      await fixture.store.remove([...keys.slice(0, 6), ...missing, ...keys.slice(5)]);
      expectEqual(await fixture.names(), ['n0/kept'], 'the listing');
    },
  },
  {
    title: 'removing the start of a key removes nothing',
    check: async (fixture) => {
      await fixture.write('above/one', BYTES);
      await fixture.store.remove([fixture.key('above'), fixture.key('abov')]);
      expectBytes(await fixture.read('above/one'), BYTES, 'the object below');
    },
  },
];
