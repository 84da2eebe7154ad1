import { MAX_KEY_LENGTH, MAX_KEY_PART_LENGTH } from '../key.ts';
import type { Check } from './check.ts';
import { bytesOf } from './data.ts';
import { expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Fixture } from './fixture.ts';

/** None of them names an existing file: a store that accepts one destroys nothing. */
function unsafeKeys(fixture: Fixture): readonly string[] {
  const name = fixture.prefix.slice(0, -1);
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

function unsafePrefixes(fixture: Fixture): readonly string[] {
  const name = fixture.prefix.slice(0, -1);
  return [name, '/', '../', './', `${name}//`, `${name}/../`, `/${name}/`, `${name}/a b/`, `${name}/\0/`, `${name}/.hidden/`];
}

export const keys: readonly Check[] = [
  {
    title: 'an unsafe key is refused by every call',
    check: async (fixture) => {
      const { store } = fixture;
      for (const key of ['', ...unsafeKeys(fixture)]) {
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
      for (const key of unsafeKeys(fixture)) await expectCode(() => store.remove([key]), 'invalid-key', `remove of ${JSON.stringify(key)}`);
    },
  },
  {
    title: 'an unsafe prefix is refused',
    check: async (fixture) => {
      for (const prefix of unsafePrefixes(fixture)) {
        await expectCode(() => Array.fromAsync(fixture.store.list(prefix)), 'invalid-key', `list of ${JSON.stringify(prefix)}`);
        await expectCode(() => Array.fromAsync(fixture.store.pending(prefix)), 'invalid-key', `pending of ${JSON.stringify(prefix)}`);
      }
    },
  },
  {
    title: 'one unsafe key among others is refused before anything happens',
    check: async (fixture) => {
      await fixture.write('kept', bytesOf(10, 1));
      const { store } = fixture;
      await expectCode(() => store.remove([fixture.key('kept'), fixture.key('../kept')]), 'invalid-key', 'remove with one such key');
      expectBytes(await fixture.read('kept'), bytesOf(10, 1), 'the object that was named first');
      expectEqual(await fixture.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'every safe key is accepted, even the longest',
    check: async (fixture) => {
      const longest = `${'l'.repeat(MAX_KEY_PART_LENGTH)}/${'m'.repeat(MAX_KEY_PART_LENGTH)}/${'n'.repeat(MAX_KEY_PART_LENGTH)}/`;
      const names = [
        '0',
        'A.b_c@d+e=f-g',
        '_',
        'a..b',
        'x/y.z/w',
        longest + 'o'.repeat(MAX_KEY_LENGTH - fixture.prefix.length - longest.length),
      ];
      for (const name of names) {
        await fixture.write(name, bytesOf(name.length, 1));
        expectBytes(await fixture.read(name), bytesOf(name.length, 1), name);
      }
      expectEqual(await fixture.names(), names.toSorted(), 'the listing');
    },
  },
];
