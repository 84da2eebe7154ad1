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
    title: 'commit, stat and list report the same',
    check: async (fixture) => {
      const committed = await fixture.write('reported', BYTES);
      expectEqual(
        { key: committed.key, size: committed.size },
        { key: fixture.key('reported'), size: BYTES.length },
        'the result of commit',
      );
      expect(Number.isFinite(committed.modified.getTime()), 'commit returned an invalid time');
      const found = await fixture.store.stat(fixture.key('reported'));
      expectEqual({ key: found.key, size: found.size }, { key: fixture.key('reported'), size: BYTES.length }, 'the result of stat');
      expect(Math.abs(found.modified.getTime() - committed.modified.getTime()) < 60_000, 'stat and commit differ in the time');
      const [listed] = await Array.fromAsync(fixture.store.list(fixture.prefix));
      expectEqual(listed, found, 'the result of list');
    },
  },
  ...WRONG_DIGESTS.map(
    ([what, digest]) =>
      ({
        title: `${what} is refused, and nothing is left`,
        check: async (fixture) => {
          {
            await using pending = await fixture.begin('wrong');
            await pending.append(inPieces(BYTES, 50_000));
            await expectCode(() => pending.commit(digest), 'integrity', `commit with ${what}`);
            await fixture.expectAbsent('wrong', 'after the refused commit');
          }
          await fixture.expectNothingLeft('wrong', 'after the refused commit');
        },
      }) satisfies Check,
  ),
  {
    title: 'a wrong size is refused where the caller digests, and the right one is not',
    check: async (fixture) => {
      for (const size of [DIGEST.size - 1, DIGEST.size + 1]) {
        await using pending = await fixture.begin('wrong', { digestBy: 'caller' });
        await pending.append(inPieces(BYTES, 50_000));
        await expectCode(() => pending.commit({ ...DIGEST, size }), 'integrity', `commit with ${size} bytes`);
        await fixture.expectAbsent('wrong', 'after the refused commit');
      }
      {
        await using pending = await fixture.begin('right', { digestBy: 'caller' });
        await pending.append(inPieces(BYTES, 50_000));
        await pending.commit(DIGEST);
      }
      expectBytes(await fixture.read('right'), BYTES, 'the object');
    },
  },
  {
    title: 'a refused replacement leaves the old object',
    check: async (fixture) => {
      const old = bytesOf(1_000, 3);
      await fixture.write('kept', old);
      {
        await using pending = await fixture.begin('kept', { ifExists: 'replace' });
        await pending.append(inPieces(BYTES, 50_000));
        await expectCode(() => pending.commit({ ...DIGEST, size: 1 }), 'integrity', 'commit with a wrong size');
      }
      expectBytes(await fixture.read('kept'), old, 'the old object');
      expectEqual(await fixture.unfinished(), [], 'unfinished writes');
    },
  },
  {
    title: 'a discarded write leaves nothing, and can be discarded again',
    check: async (fixture) => {
      const pending = await fixture.begin('discarded');
      await pending.append(inPieces(BYTES, 50_000));
      await pending.discard();
      await fixture.expectNothingLeft('discarded', 'after discard');
      await pending.discard();
      await pending[Symbol.asyncDispose]();
    },
  },
  {
    title: 'a disposed write leaves nothing',
    check: async (fixture) => {
      const pending = await fixture.begin('disposed');
      await pending.append(inPieces(BYTES, 50_000));
      await pending[Symbol.asyncDispose]();
      await fixture.expectNothingLeft('disposed', 'after it was disposed');
    },
  },
  {
    title: 'a key can be written after a discarded write',
    check: async (fixture) => {
      await (await fixture.begin('again')).discard();
      await fixture.write('again', BYTES);
      expectBytes(await fixture.read('again'), BYTES, 'the object');
    },
  },
  {
    title: 'discarding and disposing do nothing after commit',
    check: async (fixture) => {
      const pending = await fixture.begin('done');
      await pending.append(inPieces(BYTES, 50_000));
      await pending.commit(DIGEST);
      await pending.discard();
      await pending[Symbol.asyncDispose]();
      expectBytes(await fixture.read('done'), BYTES, 'the object');
      expectEqual(await fixture.unfinished(), [], 'unfinished writes after commit');
    },
  },
];
