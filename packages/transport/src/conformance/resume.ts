import type { PendingObject } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Room } from './room.ts';

const BYTES = bytesOf(8 * MiB + 5, 1);
const FIRST = 6 * MiB + 1;

/** Whether there is anything to test: a store without the capability must refuse both calls. */
async function offersResuming(room: Room): Promise<boolean> {
  if (room.store.capabilities.resumableWrite) return true;
  await using pending = await room.begin('kept');
  await expectCode(() => pending.suspend(), 'unsupported', 'suspend');
  await expectCode(() => room.store.resume(pending.token), 'unsupported', 'resume');
  return false;
}

/** Appends what is missing from the durable byte on, as a resumed writer does. */
async function finish(room: Room, pending: PendingObject): Promise<void> {
  const from = pending.durableBytes;
  expect(from >= 0 && from <= FIRST, `durableBytes is ${from}, but ${FIRST} bytes were written`);
  await pending.append(inPieces(BYTES.subarray(from), 300_001));
  await pending.commit(digestOf(BYTES));
  expectBytes(await room.read('resumed'), BYTES, 'the resumed object');
  expectEqual(await room.unfinished(), [], 'unfinished writes after the resumed commit');
}

export const resume: readonly Check[] = [
  {
    title: 'another connection goes on with a suspended write at just the durable byte',
    check: async (room) => {
      if (!(await offersResuming(room))) return;
      const before = await room.begin('resumed');
      await before.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      await before.suspend();
      await room.expectAbsent('resumed', 'while its write is suspended');
      const other = await room.another();
      const [told] = await room.unfinished(other);
      await using after = await other.resume(before.token);
      expectEqual({ key: after.key, token: after.token }, { key: before.key, token: before.token }, 'what was resumed');
      expectEqual(told?.durableBytes, after.durableBytes, 'durableBytes of pending, and of what was resumed');
      await finish(room, after);
    },
  },
  {
    title: 'another connection goes on with a write whose writer is gone',
    check: async (room) => {
      if (!(await offersResuming(room))) return;
      const orphan = await room.begin('resumed');
      await orphan.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      {
        await using after = await (await room.another()).resume(orphan.token);
        expect(
          after.durableBytes >= orphan.durableBytes,
          `resumed at ${after.durableBytes}, though ${orphan.durableBytes} bytes were durable`,
        );
        await finish(room, after);
      }
      await orphan.discard();
      expectBytes(await room.read('resumed'), BYTES, 'the object, after its first writer was discarded');
    },
  },
  {
    title: 'a writer that was taken for dead can change nothing of what its successor commits',
    check: async (room) => {
      if (!(await offersResuming(room))) return;
      const stale = await room.begin('resumed');
      await stale.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      await using after = await (await room.another()).resume(stale.token);
      await finish(room, after);
      // It may notice, or not yet.
      await stale.append(inPieces(BYTES.subarray(0, MiB), 100_000)).catch(() => undefined);
      const digest = digestOf(Buffer.concat([BYTES.subarray(0, FIRST), BYTES.subarray(0, MiB)]));
      const refusals = ['not-found', 'exists', 'integrity', 'unsupported'] as const;
      await expectCode(() => stale.commit(digest), refusals, 'commit by the writer that was taken for dead');
      await stale.discard();
      expectBytes(await room.read('resumed'), BYTES, 'the object, after its first writer went on');
    },
  },
  {
    title: 'a suspended writer that is disposed late takes nothing from its successor',
    check: async (room) => {
      if (!(await offersResuming(room))) return;
      const before = await room.begin('resumed');
      await before.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      await before.suspend();
      await using after = await (await room.another()).resume(before.token);
      await before[Symbol.asyncDispose]();
      await finish(room, after);
    },
  },
  {
    title: 'durableBytes never decreases, and never exceeds what was written',
    check: async (room) => {
      await using pending = await room.begin('growing');
      let [written, durable] = [0, pending.durableBytes];
      expectEqual(durable, 0, 'durableBytes after begin');
      for (const piece of [MiB, 3 * MiB, 1, 2 * MiB]) {
        await pending.append(inPieces(BYTES.subarray(written, written + piece), 100_000));
        written += piece;
        expect(
          pending.durableBytes >= durable && pending.durableBytes <= written,
          `durableBytes went from ${durable} to ${pending.durableBytes} of ${written}`,
        );
        durable = pending.durableBytes;
      }
    },
  },
  {
    title: 'a resumed write that is discarded leaves nothing',
    check: async (room) => {
      if (!(await offersResuming(room))) return;
      const before = await room.begin('given-up');
      await before.append(inPieces(BYTES.subarray(0, 1000), 100));
      await before.suspend();
      await (await room.store.resume(before.token)).discard();
      await room.expectNothingLeft('given-up', 'after the resumed write was discarded');
      await expectCode(() => room.store.resume(before.token), 'not-found', 'resuming it again');
    },
  },
  {
    title: 'a token that nobody has is not found',
    check: async (room) => {
      if (!(await offersResuming(room))) return;
      await room.write('there', BYTES.subarray(0, 10));
      for (const token of ['0'.repeat(32), 'no-such-token', '../../there', '', 'x\0y']) {
        await expectCode(() => room.store.resume(token), 'not-found', `resuming ${JSON.stringify(token)}`);
      }
    },
  },
  {
    title: 'pending names what is unfinished, to another connection too, and clear ends it for good',
    check: async (room) => {
      const other = await room.another();
      const [first, second] = [await room.begin('p/one'), await room.begin('p-q/two')];
      await first.append(inPieces(BYTES.subarray(0, 1000), 100));
      await second.append(inPieces(BYTES.subarray(0, 1000), 100));
      const found = (await room.unfinished(other)).toSorted((a, b) => (a.key < b.key ? 1 : -1));
      expectEqual(
        found.map(({ key, token }) => ({ key, token })),
        [first, second].map(({ key, token }) => ({ key, token })),
        'unfinished writes',
      );
      for (const { owner, ownerText, started, durableBytes } of found) {
        expect(owner !== 'dead', 'pending calls a living writer dead');
        expect(ownerText !== '', 'pending does not say who the owner is');
        expect(Number.isFinite(started.getTime()), 'pending gives no valid time');
        expect(durableBytes >= 0 && durableBytes <= 1000, `pending says that ${durableBytes} of 1000 bytes are durable`);
      }
      expectEqual(
        (await Array.fromAsync(other.pending(room.key('p/')))).map(({ key }) => key),
        [first.key],
        'unfinished writes under p/',
      );
      await other.clear([first.token, second.token]);
      await room.expectNothingLeft('p/one', 'after clear');
      await other.clear([first.token, second.token]);
      await first.discard();
      await second.discard();
      if (room.store.capabilities.resumableWrite) {
        await expectCode(() => room.store.resume(first.token), 'not-found', 'resuming what was cleared');
      }
    },
  },
  {
    title: 'clear takes no object away',
    check: async (room) => {
      const pending = await room.begin('finished');
      await pending.append(inPieces(BYTES.subarray(0, 1000), 100));
      await pending.commit(digestOf(BYTES.subarray(0, 1000)));
      await room.store.clear([pending.token]);
      expectBytes(await room.read('finished'), BYTES.subarray(0, 1000), 'the object');
    },
  },
];
