import type { CallOptions, PendingObject } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectEqual, expectReason } from './expect.ts';
import type { Fixture } from './fixture.ts';
import { StallingSource } from './stalling-source.ts';

const BYTES = bytesOf(5 * MiB, 1);

/** It looks like a system error, to find stores that translate a reason as if it were a failure. */
function someReason(): Error {
  return Object.assign(new Error('the caller aborted'), { code: 'ENOENT', errno: -2, syscall: 'open' });
}

type Call = (fixture: Fixture, options: CallOptions, token: string) => Promise<unknown>;

/** Every asynchronous call, on a fixture with the object `here` and the unfinished write `token`. */
const CALLS: Readonly<Record<string, Call>> = {
  stat: (fixture, options) => fixture.store.stat(fixture.key('here'), options),
  read: async (fixture, options) => (await fixture.store.read(fixture.key('here'), options))[Symbol.asyncDispose](),
  list: (fixture, options) => Array.fromAsync(fixture.store.list(fixture.prefix, options)),
  begin: async (fixture, options) => (await fixture.begin('new', options)).discard(),
  resume: async (fixture, options, token) => {
    if (!fixture.store.capabilities.resumableWrite) options.signal?.throwIfAborted();
    else await (await fixture.store.resume(token, options)).suspend();
  },
  pending: (fixture, options) => Array.fromAsync(fixture.store.pending(fixture.prefix, options)),
  clear: (fixture, options, token) => fixture.store.clear([token], options),
  remove: (fixture, options) => fixture.store.remove([fixture.key('here')], options),
};

/** An unfinished write, without an owner if the store can suspend it. */
async function leaveUnfinished(fixture: Fixture): Promise<PendingObject> {
  const pending = await fixture.begin('unfinished');
  await pending.append(inPieces(BYTES.subarray(0, 1000), 100));
  if (fixture.store.capabilities.resumableWrite) await pending.suspend();
  return pending;
}

export const cancelling: readonly Check[] = [
  ...Object.entries(CALLS).map(
    ([name, call]) =>
      ({
        title: `${name} with an aborted signal rejects with the reason, and does nothing`,
        check: async (fixture) => {
          await fixture.write('here', BYTES.subarray(0, 5000));
          const { token } = await leaveUnfinished(fixture);
          const reason = someReason();
          await fixture.soon(
            expectReason(() => call(fixture, { signal: AbortSignal.abort(reason) }, token), reason, name),
            name,
          );
          expectBytes(await fixture.read('here'), BYTES.subarray(0, 5000), 'the object');
          expectEqual(
            (await fixture.unfinished()).map((info) => info.token),
            [token],
            'unfinished writes',
          );
        },
      }) satisfies Check,
  ),
  ...Object.entries(CALLS).map(
    ([name, call]) =>
      ({
        title: `${name} that is aborted while it runs either succeeds or rejects with the reason`,
        check: async (fixture) => {
          await fixture.write('here', BYTES.subarray(0, 5000));
          const { token } = await leaveUnfinished(fixture);
          for (let turns = 0; turns < 4; turns += 1) {
            const controller = new AbortController();
            const reason = someReason();
            const called = call(fixture, { signal: controller.signal }, token).catch((error: unknown) => error);
            for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
            controller.abort(reason);
            const result = await fixture.soon(called, name);
            expect(
              !(result instanceof Error) || result === reason,
              `${name} rejected with ${String(result)}, not with the signal's reason`,
            );
            await fixture.write('here', BYTES.subarray(0, 5000), { ifExists: 'replace' });
          }
          expectEqual(
            (await fixture.unfinished()).filter((info) => info.token !== token),
            [],
            'unfinished writes other than the first',
          );
        },
      }) satisfies Check,
  ),
  {
    title: 'append with an aborted signal reads nothing and leaves nothing',
    check: async (fixture) => {
      const reason = someReason();
      {
        await using pending = await fixture.begin('never');
        let asked = false;
        const source = (async function* () {
          asked = true;
          yield BYTES;
        })();
        await fixture.soon(
          expectReason(() => pending.append(source, { signal: AbortSignal.abort(reason) }), reason, 'append'),
          'append',
        );
        expect(!asked, 'append read its source although the signal was aborted');
      }
      await fixture.expectNothingLeft('never', 'after an aborted append');
    },
  },
  {
    title: 'append that is aborted while it waits for its source closes the source, and leaves nothing',
    check: async (fixture) => {
      const controller = new AbortController();
      const reason = someReason();
      const source = new StallingSource([BYTES.subarray(0, MiB), BYTES.subarray(MiB, 2 * MiB)]);
      {
        await using pending = await fixture.begin('stalled');
        const appended = expectReason(() => pending.append(source, { signal: controller.signal }), reason, 'append');
        appended.catch(() => undefined);
        await fixture.soon(source.stalled, 'asking for a third chunk');
        controller.abort(reason);
        await fixture.soon(appended, 'append after the abort');
        await fixture.soon(source.released, 'closing the source');
      }
      await fixture.expectNothingLeft('stalled', 'after an aborted append');
    },
  },
  {
    title: 'commit with an aborted signal rejects with the reason and leaves nothing',
    check: async (fixture) => {
      const reason = someReason();
      {
        await using pending = await fixture.begin('uncommitted');
        await pending.append(inPieces(BYTES, MiB));
        await fixture.soon(
          expectReason(() => pending.commit(digestOf(BYTES), { signal: AbortSignal.abort(reason) }), reason, 'commit'),
          'commit',
        );
      }
      await fixture.expectNothingLeft('uncommitted', 'after an aborted commit');
    },
  },
  {
    title: 'commit that is aborted while it runs leaves the complete object or nothing',
    check: async (fixture) => {
      for (let turns = 0; turns < 6; turns += 1) {
        const name = `commit-${turns}`;
        const controller = new AbortController();
        const reason = someReason();
        let result: unknown;
        {
          await using pending = await fixture.begin(name);
          await pending.append(inPieces(BYTES.subarray(0, MiB), MiB));
          const called = pending.commit(digestOf(BYTES.subarray(0, MiB)), { signal: controller.signal }).catch((error: unknown) => error);
          for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
          controller.abort(reason);
          result = await fixture.soon(called, 'commit');
        }
        if (result === reason) await fixture.expectNothingLeft(name, 'after an aborted commit');
        else if (result instanceof Error) throw result;
        else expectBytes(await fixture.read(name), BYTES.subarray(0, MiB), 'the object that was committed despite the abort');
      }
    },
  },
  {
    title: 'reading a body can be aborted, with the reason',
    check: async (fixture) => {
      await fixture.write('body', BYTES);
      for (const pulls of [0, 1, 2]) {
        const controller = new AbortController();
        const reason = someReason();
        await using source = await fixture.store.read(fixture.key('body'), { signal: controller.signal });
        const body = source[Symbol.asyncIterator]();
        let bytes = 0;
        for (let pull = 0; pull < pulls; pull += 1) bytes += (await body.next()).value?.length ?? 0;
        controller.abort(reason);
        if (bytes < BYTES.length)
          await fixture.soon(
            expectReason(() => body.next(), reason, `the body after ${pulls} chunks`),
            'the body',
          );
      }
      expectBytes(await fixture.read('body'), BYTES, 'the object afterwards');
    },
  },
  {
    title: 'a listing can be aborted, with the reason',
    check: async (fixture) => {
      for (const name of ['1', '2/a', '3']) await fixture.write(name, BYTES.subarray(0, 10));
      const controller = new AbortController();
      const reason = someReason();
      const listed = fixture.store.list(fixture.prefix, { signal: controller.signal })[Symbol.asyncIterator]();
      await listed.next();
      controller.abort(reason);
      await fixture.soon(
        expectReason(() => listed.next(), reason, 'the listing'),
        'the listing',
      );
    },
  },
];
