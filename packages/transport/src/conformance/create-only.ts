import { isStoreError } from '../errors.ts';
import type { Store } from '../store.ts';
import type { Check } from './check.ts';
import { bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Fixture } from './fixture.ts';

const OLD = bytesOf(120_000, 1);
const NEW = bytesOf(90_000, 2);

async function putOnly(store: Store, key: string, bytes: Buffer): Promise<void> {
  await using pending = await store.begin(key, { ifExists: 'fail' });
  await pending.append(inPieces(bytes, 50_000));
  await pending.commit(digestOf(bytes));
}

/** Whether the store offers it: a store without the capability must refuse the option. */
async function offersCreateOnly(fixture: Fixture): Promise<boolean> {
  if (fixture.store.capabilities.createOnly) return true;
  await expectCode(() => fixture.store.begin(fixture.key('only'), { ifExists: 'fail' }), 'unsupported', "begin with ifExists: 'fail'");
  await expectCode(() => fixture.store.begin(fixture.key('only')), 'unsupported', 'begin without ifExists');
  return false;
}

export const createOnly: readonly Check[] = [
  {
    title: 'an existing key is refused, at commit at the latest',
    check: async (fixture) => {
      if (!(await offersCreateOnly(fixture))) return;
      await fixture.write('taken', OLD);
      await expectCode(() => putOnly(fixture.store, fixture.key('taken'), NEW), 'exists', 'writing an existing key');
      expectBytes(await fixture.read('taken'), OLD, 'the old object');
      expectEqual(await fixture.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'of two writers of one key one wins and the other gets exists',
    check: async (fixture) => {
      if (!(await offersCreateOnly(fixture))) return;
      const other = await fixture.another();
      const results = await Promise.allSettled([
        putOnly(fixture.store, fixture.key('race'), OLD),
        putOnly(other, fixture.key('race'), NEW),
      ]);
      const lost = results.filter((result) => result.status === 'rejected');
      expectEqual(lost.length, 1, 'writers that lost');
      expect(isStoreError(lost[0]?.reason, 'exists'), `the loser got ${String(lost[0]?.reason)}, not StoreError exists`);
      expectBytes(await fixture.read('race'), results[0].status === 'fulfilled' ? OLD : NEW, "the winner's object");
      expectEqual(await fixture.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'a key that is created between begin and commit is refused at commit',
    check: async (fixture) => {
      if (!(await offersCreateOnly(fixture))) return;
      {
        await using pending = await fixture.store.begin(fixture.key('late'), { ifExists: 'fail' });
        await pending.append(inPieces(NEW, 50_000));
        await fixture.write('late', OLD, {}, await fixture.another());
        await expectCode(() => pending.commit(digestOf(NEW)), 'exists', 'commit of a key that was created in the meantime');
      }
      expectBytes(await fixture.read('late'), OLD, 'the object that was committed first');
      expectEqual(await fixture.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'a replacement replaces the old object at commit, and not before',
    check: async (fixture) => {
      await fixture.write('replaced', OLD);
      await using pending = await fixture.begin('replaced', { ifExists: 'replace' });
      await pending.append(inPieces(NEW, 50_000));
      expectBytes(await fixture.read('replaced'), OLD, 'the object before commit');
      await pending.commit(digestOf(NEW));
      expectBytes(await fixture.read('replaced'), NEW, 'the object after commit');
      expectEqual(await fixture.names(), ['replaced'], 'the listing');
    },
  },
  {
    title: 'a reader sees the old object or the new one while it is replaced, never a mixture or nothing',
    check: async (fixture) => {
      const other = await fixture.another();
      await fixture.write('both', OLD);
      const replaced = new AbortController();
      const reader = (async () => {
        while (!replaced.signal.aborted) {
          const bytes = await fixture.read('both', {}, other);
          expect(
            bytes.equals(OLD) || bytes.equals(NEW),
            `a reader got ${bytes.length} bytes that are neither the old object nor the new one`,
          );
        }
      })();
      try {
        for (const bytes of [NEW, OLD, NEW, OLD, NEW]) await fixture.write('both', bytes, { ifExists: 'replace' });
      } finally {
        replaced.abort();
        await reader;
      }
      expectBytes(await fixture.read('both'), NEW, 'the last object');
    },
  },
  {
    title: 'a replacement may also be the first object',
    check: async (fixture) => {
      await fixture.write('first', NEW, { ifExists: 'replace' });
      expectBytes(await fixture.read('first'), NEW, 'the object');
    },
  },
  {
    title: 'a key below or above another object either coexists with it or is refused with exists',
    check: async (fixture) => {
      for (const [first, second] of [
        ['a', 'a/b'],
        ['c/d', 'c'],
      ] as const) {
        await fixture.write(first, OLD);
        for (const ifExists of ['fail', 'replace'] as const) {
          if (ifExists === 'fail' && !fixture.store.capabilities.createOnly) continue;
          try {
            await fixture.write(second, NEW, { ifExists });
            expectBytes(await fixture.read(second), NEW, second);
            await fixture.store.remove([fixture.key(second)]);
          } catch (error) {
            if (!isStoreError(error, 'exists')) throw error;
          }
          expectBytes(await fixture.read(first), OLD, first);
        }
      }
      expectEqual(await fixture.names(), ['a', 'c/d'], 'the listing');
      expectEqual(await fixture.unfinished(), [], 'unfinished writes');
    },
  },
];
