import type { PendingObject } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Fixture } from './fixture.ts';

const BYTES = bytesOf(8 * MiB + 5, 1);
const FIRST = 6 * MiB + 1;

/** Whether the store offers it: a store without the capability must refuse both calls. */
async function offersResuming(fixture: Fixture): Promise<boolean> {
  if (fixture.store.capabilities.resumableWrite) return true;
  await using pending = await fixture.begin('kept');
  await expectCode(() => pending.suspend(), 'unsupported', 'suspend');
  await expectCode(() => fixture.store.resume(pending.token), 'unsupported', 'resume');
  return false;
}

/** Appends the rest after the durable bytes, as a resumed writer does. */
async function finish(fixture: Fixture, pending: PendingObject): Promise<void> {
  const from = pending.durableBytes;
  expect(from >= 0 && from <= FIRST, `durableBytes is ${from}, but ${FIRST} bytes were written`);
  await pending.append(inPieces(BYTES.subarray(from), 300_001));
  await pending.commit(digestOf(BYTES));
  expectBytes(await fixture.read('resumed'), BYTES, 'the resumed object');
  expectEqual(await fixture.unfinished(), [], 'unfinished writes after the resumed commit');
}

export const resume: readonly Check[] = [
  {
    title: 'another connection continues a suspended write from exactly the durable byte',
    check: async (fixture) => {
      if (!(await offersResuming(fixture))) return;
      const before = await fixture.begin('resumed');
      await before.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      await before.suspend();
      await fixture.expectAbsent('resumed', 'while its write is suspended');
      const other = await fixture.another();
      const [listed] = await fixture.unfinished(other);
      await using after = await other.resume(before.token);
      expectEqual({ key: after.key, token: after.token }, { key: before.key, token: before.token }, 'the resumed write');
      expectEqual(listed?.durableBytes, after.durableBytes, 'durableBytes in pending and after resume');
      await finish(fixture, after);
    },
  },
  {
    title: 'another connection continues a write whose writer is gone',
    check: async (fixture) => {
      if (!(await offersResuming(fixture))) return;
      const orphan = await fixture.begin('resumed');
      await orphan.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      {
        await using after = await (await fixture.another()).resume(orphan.token);
        expect(
          after.durableBytes >= orphan.durableBytes,
          `resumed at ${after.durableBytes}, though ${orphan.durableBytes} bytes were durable`,
        );
        await finish(fixture, after);
      }
      await orphan.discard();
      expectBytes(await fixture.read('resumed'), BYTES, 'the object, after its first writer was discarded');
    },
  },
  {
    title: 'a writer that was taken for dead cannot change what its successor commits',
    check: async (fixture) => {
      if (!(await offersResuming(fixture))) return;
      const stale = await fixture.begin('resumed');
      await stale.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      await using after = await (await fixture.another()).resume(stale.token);
      await finish(fixture, after);
      // It may or may not notice.
      await stale.append(inPieces(BYTES.subarray(0, MiB), 100_000)).catch(() => undefined);
      const digest = digestOf(Buffer.concat([BYTES.subarray(0, FIRST), BYTES.subarray(0, MiB)]));
      const refusals = ['not-found', 'exists', 'integrity', 'unsupported'] as const;
      await expectCode(() => stale.commit(digest), refusals, 'commit by the writer that was taken for dead');
      await stale.discard();
      expectBytes(await fixture.read('resumed'), BYTES, 'the object, after its first writer went on');
    },
  },
  {
    title: 'disposing a suspended writer late does not harm its successor',
    check: async (fixture) => {
      if (!(await offersResuming(fixture))) return;
      const before = await fixture.begin('resumed');
      await before.append(inPieces(BYTES.subarray(0, FIRST), 400_003));
      await before.suspend();
      await using after = await (await fixture.another()).resume(before.token);
      await before[Symbol.asyncDispose]();
      await finish(fixture, after);
    },
  },
  {
    title: 'durableBytes never decreases, and never exceeds the bytes written',
    check: async (fixture) => {
      await using pending = await fixture.begin('growing');
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
    check: async (fixture) => {
      if (!(await offersResuming(fixture))) return;
      const before = await fixture.begin('discarded');
      await before.append(inPieces(BYTES.subarray(0, 1000), 100));
      await before.suspend();
      await (await fixture.store.resume(before.token)).discard();
      await fixture.expectNothingLeft('discarded', 'after the resumed write was discarded');
      await expectCode(() => fixture.store.resume(before.token), 'not-found', 'resuming it again');
    },
  },
  {
    title: 'an unknown token is not found',
    check: async (fixture) => {
      if (!(await offersResuming(fixture))) return;
      await fixture.write('there', BYTES.subarray(0, 10));
      for (const token of ['0'.repeat(32), 'no-such-token', '../../there', '', 'x\0y']) {
        await expectCode(() => fixture.store.resume(token), 'not-found', `resuming ${JSON.stringify(token)}`);
      }
    },
  },
  {
    title: 'pending lists unfinished writes, to another connection too, and clear removes them',
    check: async (fixture) => {
      const other = await fixture.another();
      const [first, second] = [await fixture.begin('p/one'), await fixture.begin('p-q/two')];
      await first.append(inPieces(BYTES.subarray(0, 1000), 100));
      await second.append(inPieces(BYTES.subarray(0, 1000), 100));
      const found = (await fixture.unfinished(other)).toSorted((a, b) => (a.key < b.key ? 1 : -1));
      expectEqual(
        found.map(({ key, token }) => ({ key, token })),
        [first, second].map(({ key, token }) => ({ key, token })),
        'unfinished writes',
      );
      for (const { owner, ownerText, started, durableBytes } of found) {
        expect(owner !== 'dead', 'pending calls a living writer dead');
        expect(ownerText !== '', 'pending does not describe the owner');
        expect(Number.isFinite(started.getTime()), 'pending returned an invalid time');
        expect(durableBytes >= 0 && durableBytes <= 1000, `pending says that ${durableBytes} of 1000 bytes are durable`);
      }
      expectEqual(
        (await Array.fromAsync(other.pending(fixture.key('p/')))).map(({ key }) => key),
        [first.key],
        'unfinished writes under p/',
      );
      await other.clear([first.token, second.token]);
      await fixture.expectNothingLeft('p/one', 'after clear');
      await other.clear([first.token, second.token]);
      await first.discard();
      await second.discard();
      if (fixture.store.capabilities.resumableWrite) {
        await expectCode(() => fixture.store.resume(first.token), 'not-found', 'resuming a cleared write');
      }
    },
  },
  {
    title: 'clear does not remove objects',
    check: async (fixture) => {
      const pending = await fixture.begin('finished');
      await pending.append(inPieces(BYTES.subarray(0, 1000), 100));
      await pending.commit(digestOf(BYTES.subarray(0, 1000)));
      await fixture.store.clear([pending.token]);
      expectBytes(await fixture.read('finished'), BYTES.subarray(0, 1000), 'the object');
    },
  },
];
