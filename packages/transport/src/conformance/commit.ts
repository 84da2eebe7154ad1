import type { Check } from './check.ts';
import { bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual } from './expect.ts';

const BYTES = bytesOf(150_000, 1);
const DIGEST = digestOf(BYTES);

const WRONG_DIGESTS = [
  ['a size too large', { ...DIGEST, size: DIGEST.size + 1 }],
  ['a size too small', { ...DIGEST, size: DIGEST.size - 1 }],
  ['another SHA-256', { ...DIGEST, sha256: digestOf(bytesOf(150_000, 2)).sha256 }],
  ['the digest of nothing', digestOf(Buffer.alloc(0))],
] as const;

export const commit: readonly Check[] = [
  {
    title: 'commit says what stat and list say',
    check: async (room) => {
      const committed = await room.write('told', BYTES);
      expectEqual({ key: committed.key, size: committed.size }, { key: room.key('told'), size: BYTES.length }, 'what commit says');
      expect(Number.isFinite(committed.modified.getTime()), 'commit gives no valid time');
      const found = await room.store.stat(room.key('told'));
      expectEqual({ key: found.key, size: found.size }, { key: room.key('told'), size: BYTES.length }, 'what stat says');
      expect(Math.abs(found.modified.getTime() - committed.modified.getTime()) < 60_000, 'stat and commit differ in the time');
      const [listed] = await Array.fromAsync(room.store.list(room.prefix));
      expectEqual(listed, found, 'what list says');
    },
  },
  ...WRONG_DIGESTS.map(
    ([what, digest]) =>
      ({
        title: `${what} is refused, and nothing is left`,
        check: async (room) => {
          {
            await using pending = await room.begin('wrong');
            await pending.append(inPieces(BYTES, 50_000));
            await expectCode(() => pending.commit(digest), 'integrity', `commit with ${what}`);
            await room.expectAbsent('wrong', 'after the refused commit');
          }
          await room.expectNothingLeft('wrong', 'after the refused commit');
        },
      }) satisfies Check,
  ),
  {
    title: 'a refused replacement leaves the old object',
    check: async (room) => {
      const old = bytesOf(1_000, 3);
      await room.write('kept', old);
      {
        await using pending = await room.begin('kept', { ifExists: 'replace' });
        await pending.append(inPieces(BYTES, 50_000));
        await expectCode(() => pending.commit({ ...DIGEST, size: 1 }), 'integrity', 'commit with a wrong size');
      }
      expectBytes(await room.read('kept'), old, 'the old object');
      expectEqual(await room.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'a discarded object leaves nothing; discarding it again is no error',
    check: async (room) => {
      const pending = await room.begin('discarded');
      await pending.append(inPieces(BYTES, 50_000));
      await pending.discard();
      await room.expectNothingLeft('discarded', 'after discard');
      await pending.discard();
      await pending[Symbol.asyncDispose]();
    },
  },
  {
    title: 'a disposed object leaves nothing',
    check: async (room) => {
      const pending = await room.begin('disposed');
      await pending.append(inPieces(BYTES, 50_000));
      await pending[Symbol.asyncDispose]();
      await room.expectNothingLeft('disposed', 'after it was disposed');
    },
  },
  {
    title: 'a key that was discarded can be written',
    check: async (room) => {
      await (await room.begin('again')).discard();
      await room.write('again', BYTES);
      expectBytes(await room.read('again'), BYTES, 'the object');
    },
  },
  {
    title: 'discarding and disposing do nothing after commit',
    check: async (room) => {
      const pending = await room.begin('done');
      await pending.append(inPieces(BYTES, 50_000));
      await pending.commit(DIGEST);
      await pending.discard();
      await pending[Symbol.asyncDispose]();
      expectBytes(await room.read('done'), BYTES, 'the object');
      expectEqual(await room.unfinished(), [], 'unfinished writes after commit');
    },
  },
];
