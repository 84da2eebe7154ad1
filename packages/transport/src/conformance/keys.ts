import { MAX_KEY_LENGTH, MAX_KEY_PART_LENGTH } from '../key.ts';
import type { Check } from './check.ts';
import { bytesOf } from './data.ts';
import { expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Room } from './room.ts';

/** None of them names anything that exists: a store that takes one destroys nothing. */
function evilKeys(room: Room): readonly string[] {
  const name = room.prefix.slice(0, -1);
  return [
    `../${name}`,
    `${name}/../../${name}-up`,
    `${name}/..`,
    `${name}/./x`,
    `/${name}`,
    `${name}//x`,
    `${name}/x/`,
    `${name}/.hidden`,
    `${name}/-dash`,
    `${name}/with space`,
    `${name}/back\\slash`,
    `${name}/nul\0`,
    `${name}/line\n`,
    `${name}/tab\t`,
    `${name}/ümlaut`,
    `${name}/%2e%2e`,
    `${name}/a:b`,
    `${name}/a?b`,
    `${name}/a#b`,
    `${name}/a*`,
    `${name}/${'x'.repeat(MAX_KEY_PART_LENGTH + 1)}`,
    `${name}/${'x/'.repeat(MAX_KEY_LENGTH / 2)}x`,
  ];
}

function evilPrefixes(room: Room): readonly string[] {
  const name = room.prefix.slice(0, -1);
  return [name, '/', '../', './', `${name}//`, `${name}/../`, `/${name}/`, `${name}/a b/`, `${name}/\0/`, `${name}/.hidden/`];
}

export const keys: readonly Check[] = [
  {
    title: 'a key that is not safe is refused by every call',
    check: async (room) => {
      const { store } = room;
      for (const key of ['', ...evilKeys(room)]) {
        const shown = JSON.stringify(key.length > 60 ? `${key.slice(0, 60)}…` : key);
        await expectCode(() => store.stat(key), 'invalid-key', `stat of ${shown}`);
        await expectCode(() => store.read(key), 'invalid-key', `read of ${shown}`);
        for (const ifExists of ['fail', 'replace'] as const) {
          await expectCode(
            async () => (await store.begin(key, { ifExists })).discard(),
            ifExists === 'fail' && !store.capabilities.createOnly ? ['invalid-key', 'unsupported'] : 'invalid-key',
            `begin of ${shown}`,
          );
        }
      }
      for (const key of evilKeys(room)) await expectCode(() => store.remove([key]), 'invalid-key', `remove of ${JSON.stringify(key)}`);
    },
  },
  {
    title: 'a prefix that is not safe is refused',
    check: async (room) => {
      for (const prefix of evilPrefixes(room)) {
        await expectCode(() => Array.fromAsync(room.store.list(prefix)), 'invalid-key', `list of ${JSON.stringify(prefix)}`);
        await expectCode(() => Array.fromAsync(room.store.pending(prefix)), 'invalid-key', `pending of ${JSON.stringify(prefix)}`);
      }
    },
  },
  {
    title: 'one key that is not safe among others is refused before anything happens',
    check: async (room) => {
      await room.write('kept', bytesOf(10, 1));
      const { store } = room;
      await expectCode(() => store.remove([room.key('kept'), room.key('../kept')]), 'invalid-key', 'remove with one such key');
      expectBytes(await room.read('kept'), bytesOf(10, 1), 'the object that was named first');
      expectEqual(await room.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'every key that is safe is taken, also the longest',
    check: async (room) => {
      const longest = `${'l'.repeat(MAX_KEY_PART_LENGTH)}/${'m'.repeat(MAX_KEY_PART_LENGTH)}/${'n'.repeat(MAX_KEY_PART_LENGTH)}/`;
      const names = [
        '0',
        'A.b_c@d+e=f-g',
        '_',
        'a..b',
        'x/y.z/w',
        longest + 'o'.repeat(MAX_KEY_LENGTH - room.prefix.length - longest.length),
      ];
      for (const name of names) {
        await room.write(name, bytesOf(name.length, 1));
        expectBytes(await room.read(name), bytesOf(name.length, 1), name);
      }
      expectEqual(await room.names(), names.toSorted(), 'the listing');
    },
  },
];
