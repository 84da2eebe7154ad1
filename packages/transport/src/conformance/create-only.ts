import { isStoreError } from '../errors.ts';
import type { Store } from '../store.ts';
import type { Check } from './check.ts';
import { bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Room } from './room.ts';

const OLD = bytesOf(120_000, 1);
const NEW = bytesOf(90_000, 2);

async function putOnly(store: Store, key: string, bytes: Buffer): Promise<void> {
  await using pending = await store.begin(key, { ifExists: 'fail' });
  await pending.append(inPieces(bytes, 50_000));
  await pending.commit(digestOf(bytes));
}

/** Whether there is anything to test: a store that cannot promise it must refuse the option. */
async function offersCreateOnly(room: Room): Promise<boolean> {
  if (room.store.capabilities.createOnly) return true;
  await expectCode(() => room.store.begin(room.key('only'), { ifExists: 'fail' }), 'unsupported', "begin with ifExists: 'fail'");
  await expectCode(() => room.store.begin(room.key('only')), 'unsupported', 'begin without ifExists');
  return false;
}

export const createOnly: readonly Check[] = [
  {
    title: 'a key that is taken is refused, at commit at the latest',
    check: async (room) => {
      if (!(await offersCreateOnly(room))) return;
      await room.write('taken', OLD);
      await expectCode(() => putOnly(room.store, room.key('taken'), NEW), 'exists', 'writing a key that is taken');
      expectBytes(await room.read('taken'), OLD, 'the object that was there');
      expectEqual(await room.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'of two writers of one key one wins and the other is told',
    check: async (room) => {
      if (!(await offersCreateOnly(room))) return;
      const other = await room.another();
      const results = await Promise.allSettled([putOnly(room.store, room.key('race'), OLD), putOnly(other, room.key('race'), NEW)]);
      const lost = results.filter((result) => result.status === 'rejected');
      expectEqual(lost.length, 1, 'writers that lost');
      expect(isStoreError(lost[0]?.reason, 'exists'), `the loser was told ${String(lost[0]?.reason)}, not StoreError exists`);
      expectBytes(await room.read('race'), results[0].status === 'fulfilled' ? OLD : NEW, "the winner's object");
      expectEqual(await room.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'a key that is taken between begin and commit is refused at commit',
    check: async (room) => {
      if (!(await offersCreateOnly(room))) return;
      {
        await using pending = await room.store.begin(room.key('late'), { ifExists: 'fail' });
        await pending.append(inPieces(NEW, 50_000));
        await room.write('late', OLD, {}, await room.another());
        await expectCode(() => pending.commit(digestOf(NEW)), 'exists', 'commit of a key that was taken meanwhile');
      }
      expectBytes(await room.read('late'), OLD, 'the object of who came first');
      expectEqual(await room.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'a replacement takes the place of the old object at commit, and not before',
    check: async (room) => {
      await room.write('replaced', OLD);
      await using pending = await room.begin('replaced', { ifExists: 'replace' });
      await pending.append(inPieces(NEW, 50_000));
      expectBytes(await room.read('replaced'), OLD, 'the object before commit');
      await pending.commit(digestOf(NEW));
      expectBytes(await room.read('replaced'), NEW, 'the object after commit');
      expectEqual(await room.names(), ['replaced'], 'the listing');
    },
  },
  {
    title: 'a reader sees the old object or the new one while it is replaced, never a mixture or nothing',
    check: async (room) => {
      const other = await room.another();
      await room.write('both', OLD);
      const replaced = new AbortController();
      const reader = (async () => {
        while (!replaced.signal.aborted) {
          const bytes = await room.read('both', {}, other);
          expect(
            bytes.equals(OLD) || bytes.equals(NEW),
            `a reader got ${bytes.length} bytes that are neither the old object nor the new one`,
          );
        }
      })();
      try {
        for (const bytes of [NEW, OLD, NEW, OLD, NEW]) await room.write('both', bytes, { ifExists: 'replace' });
      } finally {
        replaced.abort();
        await reader;
      }
      expectBytes(await room.read('both'), NEW, 'the last object');
    },
  },
  {
    title: 'a replacement may also be the first object',
    check: async (room) => {
      await room.write('first', NEW, { ifExists: 'replace' });
      expectBytes(await room.read('first'), NEW, 'the object');
    },
  },
  {
    title: 'a key beneath another object, or above one, is kept beside it or refused with exists',
    check: async (room) => {
      for (const [first, second] of [
        ['a', 'a/b'],
        ['c/d', 'c'],
      ] as const) {
        await room.write(first, OLD);
        for (const ifExists of ['fail', 'replace'] as const) {
          if (ifExists === 'fail' && !room.store.capabilities.createOnly) continue;
          try {
            await room.write(second, NEW, { ifExists });
            expectBytes(await room.read(second), NEW, second);
            await room.store.remove([room.key(second)]);
          } catch (error) {
            if (!isStoreError(error, 'exists')) throw error;
          }
          expectBytes(await room.read(first), OLD, first);
        }
      }
      expectEqual(await room.names(), ['a', 'c/d'], 'the listing');
      expectEqual(await room.unfinished(), [], 'unfinished writes');
    },
  },
];
