import type { ObjectRange, PendingObject } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual, expectReason } from './expect.ts';
import type { Fixture } from './fixture.ts';

/** More than the smallest part of a multipart upload, so that a service has something to copy by itself. */
const LARGE = bytesOf(17 * MiB + 11, 1);
const SMALL = bytesOf(70_001, 2);

const BEYOND: readonly Omit<ObjectRange, 'key'>[] = [
  { offset: 0, length: SMALL.length + 1 },
  { offset: SMALL.length, length: 1 },
  { offset: -1, length: 1 },
  { offset: 0, length: -1 },
  { offset: 0.5, length: 1 },
];

/** A check that only stores with the capability have; others must not have the call. */
function ifCopying(title: string, check: Check['check']): Check {
  return {
    title,
    check: async (fixture) => {
      if (fixture.store.capabilities.rangedCopy === true) return check(fixture);
      await using pending = await fixture.begin('new');
      expect(pending.appendRange === undefined, 'a write has appendRange, although the store denies the capability rangedCopy');
    },
  };
}

async function appendRange(pending: PendingObject, range: ObjectRange, options?: { readonly signal: AbortSignal }): Promise<void> {
  expect(pending.appendRange !== undefined, 'a write lacks appendRange, although the store has the capability rangedCopy');
  const moved = await pending.appendRange(range, options);
  expect(moved >= 0 && moved <= range.length, `appendRange reports ${moved} bytes of ${range.length}`);
}

function beginForReader(fixture: Fixture, name: string, expectedBytes?: number): Promise<PendingObject> {
  return fixture.begin(name, { digestBy: 'reader', expectedBytes });
}

export const rangeCopy: readonly Check[] = [
  ifCopying('ranges of several objects and bytes are put together in the order of the calls', async (fixture) => {
    await fixture.write('large', LARGE);
    await fixture.write('small', SMALL);
    const [large, small] = [fixture.key('large'), fixture.key('small')];
    const parts = [LARGE, bytesOf(6 * MiB, 3), LARGE.subarray(3), SMALL, bytesOf(1000, 4), LARGE.subarray(5, 2 * MiB), bytesOf(1, 5)];
    const expected = Buffer.concat(parts);
    {
      await using pending = await beginForReader(fixture, 'new', expected.length);
      await appendRange(pending, { key: large, offset: 0, length: LARGE.length });
      await pending.append(inPieces(bytesOf(6 * MiB, 3), MiB));
      await appendRange(pending, { key: large, offset: 3, length: LARGE.length - 3 });
      await appendRange(pending, { key: small, offset: 0, length: SMALL.length });
      await appendRange(pending, { key: small, offset: 17, length: 0 });
      await pending.append(inPieces(bytesOf(1000, 4), 300));
      await appendRange(pending, { key: large, offset: 5, length: 2 * MiB - 5 });
      await pending.append(inPieces(bytesOf(1, 5), 1));
      await fixture.expectAbsent('new', 'before commit');
      // The ranges stay what they were.
      await fixture.store.remove([large]);
      expectEqual((await pending.commit({ size: expected.length })).size, expected.length, 'the size that commit reports');
    }
    expectBytes(await fixture.read('new', {}, await fixture.another()), expected, 'the object');
    expectEqual(await fixture.names(), ['new', 'small'], 'the objects');
    expectEqual(await fixture.unfinished(), [], 'unfinished writes');
  }),
  ifCopying('an object can be a copy of one range, small or empty', async (fixture) => {
    await fixture.write('small', SMALL);
    for (const length of [SMALL.length, 1, 0]) {
      await using pending = await beginForReader(fixture, `copy${length}`);
      await appendRange(pending, { key: fixture.key('small'), offset: 0, length });
      await pending.commit({ size: length });
      expectBytes(await fixture.read(`copy${length}`), SMALL.subarray(0, length), `the copy of ${length} bytes`);
    }
  }),
  ifCopying('another size is refused at commit, and nothing is left', async (fixture) => {
    await fixture.write('small', SMALL);
    for (const size of [SMALL.length - 1, SMALL.length + 1]) {
      await using pending = await beginForReader(fixture, 'wrong');
      await appendRange(pending, { key: fixture.key('small'), offset: 0, length: SMALL.length });
      await expectCode(() => pending.commit({ size }), 'integrity', `commit with ${size} bytes`);
    }
    await fixture.expectNothingLeft('wrong', 'after the refused commits');
  }),
  ifCopying('a range beyond the object is refused, and a missing object is not found', async (fixture) => {
    await fixture.write('small', SMALL);
    for (const range of BEYOND) {
      await using pending = await beginForReader(fixture, 'new');
      const key = fixture.key('small');
      await expectCode(() => appendRange(pending, { key, ...range }), 'invalid-range', `${range.length} bytes at ${range.offset}`);
    }
    await using pending = await beginForReader(fixture, 'new');
    await expectCode(() => appendRange(pending, { key: fixture.key('none'), offset: 0, length: 1 }), 'not-found', 'a missing object');
    await using other = await beginForReader(fixture, 'other');
    await expectCode(() => appendRange(other, { key: '../small', offset: 0, length: 1 }), 'invalid-key', 'an unsafe key');
  }),
  ifCopying('a write whose digest is computed refuses ranges', async (fixture) => {
    await fixture.write('small', SMALL);
    for (const digestBy of ['store', 'caller'] as const) {
      await using pending = await fixture.begin('new', { digestBy });
      await expectCode(() => appendRange(pending, { key: fixture.key('small'), offset: 0, length: 1 }), 'unsupported', digestBy);
    }
    await using pending = await fixture.begin('new');
    await pending.append(inPieces(SMALL, 1000));
    await expectCode(() => pending.commit({ size: SMALL.length }), 'integrity', 'commit without a SHA-256');
  }),
  ifCopying('of two writers of one key one wins, although both copy', async (fixture) => {
    if (!fixture.store.capabilities.createOnly) return;
    await fixture.write('large', LARGE);
    const range = { key: fixture.key('large'), offset: 0, length: LARGE.length };
    await using first = await beginForReader(fixture, 'contested');
    await using second = await beginForReader(fixture, 'contested');
    await appendRange(first, range);
    await appendRange(second, range);
    await first.commit({ size: LARGE.length });
    await expectCode(() => second.commit({ size: LARGE.length }), 'exists', 'the second commit');
    expectBytes(await fixture.read('contested'), LARGE, 'the object of the first');
  }),
  ifCopying('a copy with an aborted signal rejects with the reason, and leaves nothing', async (fixture) => {
    await fixture.write('small', SMALL);
    const reason = new Error('the caller aborted');
    {
      await using pending = await beginForReader(fixture, 'new');
      const range = { key: fixture.key('small'), offset: 0, length: SMALL.length };
      await fixture.soon(
        expectReason(() => appendRange(pending, range, { signal: AbortSignal.abort(reason) }), reason, 'appendRange'),
        'appendRange',
      );
    }
    await fixture.expectNothingLeft('new', 'after the aborted copy');
  }),
  ifCopying('a suspended write with copied ranges goes on, with a digest of its own', async (fixture) => {
    if (!fixture.store.capabilities.resumableWrite) return;
    await fixture.write('small', SMALL);
    const pending = await beginForReader(fixture, 'new');
    await appendRange(pending, { key: fixture.key('small'), offset: 0, length: SMALL.length });
    await pending.suspend();
    await using resumed = await (await fixture.another()).resume(pending.token);
    expectEqual(resumed.durableBytes, SMALL.length, 'durable bytes of the suspended write');
    await resumed.append(inPieces(SMALL, 10_000));
    await resumed.commit(digestOf(Buffer.concat([SMALL, SMALL])));
    expectBytes(await fixture.read('new'), Buffer.concat([SMALL, SMALL]), 'the object');
  }),
];
