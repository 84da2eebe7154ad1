import type { Check } from './check.ts';
import { MiB, bytesOf, inPieces } from './data.ts';
import { expect, expectBytes, expectCode, expectEqual } from './expect.ts';

/** Two parts of a multipart upload, and a rest. */
const BYTES = bytesOf(17 * MiB + 11, 7);

/** A check that only stores with the call have. */
function ifSalvaging(title: string, check: Check['check']): Check {
  return { title, check: async (fixture) => (fixture.store.salvage === undefined ? undefined : await check(fixture)) };
}

export const salvage: readonly Check[] = [
  ifSalvaging('what is durable of a write becomes the object, or nothing has changed', async (fixture) => {
    const orphan = await fixture.begin('salvaged');
    await orphan.append(inPieces(BYTES, 400_003));
    const durable = orphan.durableBytes;
    // Its writer has ended for certain: one that still sends may change what is just being made an object.
    await orphan.leave?.();
    const other = await fixture.another();
    const made = await other.salvage?.(orphan.token, { keys: [fixture.key('salvaged')] });
    if (made === undefined) {
      await fixture.expectAbsent('salvaged', 'after it could not be salvaged');
      expectEqual(
        (await fixture.unfinished()).map(({ token }) => token),
        [orphan.token],
        'unfinished writes',
      );
      await other.clear([orphan.token], { keys: [orphan.key] });
      return;
    }
    expect(made.size >= durable && made.size <= BYTES.length, `it has ${made.size} bytes, and ${durable} to ${BYTES.length} were durable`);
    expectEqual({ key: made.key, names: await fixture.names() }, { key: fixture.key('salvaged'), names: ['salvaged'] }, 'the object');
    expectEqual(await fixture.unfinished(), [], 'unfinished writes after that');
    await orphan.discard();
    expectBytes(await fixture.read('salvaged'), BYTES.subarray(0, made.size), 'the object, after its writer was discarded');
  }),
  ifSalvaging('a write that was left stays, and can be salvaged or cleared', async (fixture) => {
    for (const end of ['salvage', 'clear'] as const) {
      const left = await fixture.begin(end);
      await left.append(inPieces(BYTES, 400_003));
      await left.leave?.();
      await left[Symbol.asyncDispose]();
      await fixture.expectAbsent(end, 'after its write was left');
      expectEqual(
        (await fixture.unfinished()).map(({ token }) => token),
        [left.token],
        'unfinished writes',
      );
      const other = await fixture.another();
      const made = end === 'salvage' ? await other.salvage?.(left.token, { keys: [left.key] }) : undefined;
      if (made !== undefined) expectBytes(await fixture.read(end), BYTES.subarray(0, made.size), 'the object');
      await other.clear([left.token], { keys: [left.key] });
      expectEqual(await fixture.unfinished(), [], 'unfinished writes after that');
    }
  }),
  ifSalvaging('a write of which nothing was appended stays as it is', async (fixture) => {
    await using empty = await fixture.begin('empty');
    expectEqual(await fixture.store.salvage?.(empty.token, { keys: [empty.key] }), undefined, 'what was made of it');
    await fixture.expectAbsent('empty', 'after it could not be salvaged');
  }),
  ifSalvaging('an unknown token is not found', async (fixture) => {
    await fixture.write('there', BYTES.subarray(0, 10));
    for (const token of ['0'.repeat(32), 'no-such-token', '../../there']) {
      await expectCode(async () => fixture.store.salvage?.(token), 'not-found', `salvaging ${JSON.stringify(token)}`);
    }
  }),
];
