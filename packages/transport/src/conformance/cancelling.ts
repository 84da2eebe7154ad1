import type { CallOptions, PendingObject } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf, digestOf, inPieces } from './data.ts';
import { expect, expectBytes, expectEqual, expectReason } from './expect.ts';
import type { Room } from './room.ts';
import { StallingSource } from './stalling-source.ts';

const BYTES = bytesOf(5 * MiB, 1);

/** Like an error of the system, so that a store which translates those shows whether it knows a reason from a failure. */
function someReason(): Error {
  return Object.assign(new Error('the caller has enough'), { code: 'ENOENT', errno: -2, syscall: 'open' });
}

type Call = (room: Room, options: CallOptions, token: string) => Promise<unknown>;

/** Every call that is a promise, on a room with the object `here` and the unfinished write `token`. */
const CALLS: Readonly<Record<string, Call>> = {
  stat: (room, options) => room.store.stat(room.key('here'), options),
  read: async (room, options) => (await room.store.read(room.key('here'), options))[Symbol.asyncDispose](),
  list: (room, options) => Array.fromAsync(room.store.list(room.prefix, options)),
  begin: async (room, options) => (await room.begin('new', options)).discard(),
  resume: async (room, options, token) => {
    if (!room.store.capabilities.resumableWrite) options.signal?.throwIfAborted();
    else await (await room.store.resume(token, options)).suspend();
  },
  pending: (room, options) => Array.fromAsync(room.store.pending(room.prefix, options)),
  clear: (room, options, token) => room.store.clear([token], options),
  remove: (room, options) => room.store.remove([room.key('here')], options),
};

/** An unfinished write that nobody holds, where the store can have one. */
async function leaveUnfinished(room: Room): Promise<PendingObject> {
  const pending = await room.begin('unfinished');
  await pending.append(inPieces(BYTES.subarray(0, 1000), 100));
  if (room.store.capabilities.resumableWrite) await pending.suspend();
  return pending;
}

export const cancelling: readonly Check[] = [
  ...Object.entries(CALLS).map(
    ([name, call]) =>
      ({
        title: `${name} with a signal that was aborted before rejects with the reason, and does nothing`,
        check: async (room) => {
          await room.write('here', BYTES.subarray(0, 5000));
          const { token } = await leaveUnfinished(room);
          const reason = someReason();
          await room.soon(
            expectReason(() => call(room, { signal: AbortSignal.abort(reason) }, token), reason, name),
            name,
          );
          expectBytes(await room.read('here'), BYTES.subarray(0, 5000), 'the object');
          expectEqual(
            (await room.unfinished()).map((info) => info.token),
            [token],
            'unfinished writes',
          );
        },
      }) satisfies Check,
  ),
  ...Object.entries(CALLS).map(
    ([name, call]) =>
      ({
        title: `${name} that is aborted on its way rejects with the reason, if it does`,
        check: async (room) => {
          await room.write('here', BYTES.subarray(0, 5000));
          const { token } = await leaveUnfinished(room);
          for (let turns = 0; turns < 4; turns += 1) {
            const controller = new AbortController();
            const reason = someReason();
            const called = call(room, { signal: controller.signal }, token).catch((error: unknown) => error);
            for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
            controller.abort(reason);
            const result = await room.soon(called, name);
            expect(!(result instanceof Error) || result === reason, `${name} rejected with ${String(result)}, not with the very reason`);
            await room.write('here', BYTES.subarray(0, 5000), { ifExists: 'replace' });
          }
          expectEqual(
            (await room.unfinished()).filter((info) => info.token !== token),
            [],
            'unfinished writes besides the one that was there',
          );
        },
      }) satisfies Check,
  ),
  {
    title: 'append with a signal that was aborted before asks for nothing and leaves nothing',
    check: async (room) => {
      const reason = someReason();
      {
        await using pending = await room.begin('never');
        let asked = false;
        const source = (async function* () {
          asked = true;
          yield BYTES;
        })();
        await room.soon(
          expectReason(() => pending.append(source, { signal: AbortSignal.abort(reason) }), reason, 'append'),
          'append',
        );
        expect(!asked, 'append asked its source although the signal was aborted before');
      }
      await room.expectNothingLeft('never', 'after an aborted append');
    },
  },
  {
    title: 'append is aborted while it waits for its source, lets go of it, and leaves nothing',
    check: async (room) => {
      const controller = new AbortController();
      const reason = someReason();
      const source = new StallingSource([BYTES.subarray(0, MiB), BYTES.subarray(MiB, 2 * MiB)]);
      {
        await using pending = await room.begin('stalled');
        const appended = expectReason(() => pending.append(source, { signal: controller.signal }), reason, 'append');
        appended.catch(() => undefined);
        await room.soon(source.stalled, 'asking for a third chunk');
        controller.abort(reason);
        await room.soon(appended, 'append after the abort');
        await room.soon(source.released, 'telling the source that nobody will ask any more');
      }
      await room.expectNothingLeft('stalled', 'after an aborted append');
    },
  },
  {
    title: 'commit with a signal that was aborted before rejects with the reason and leaves nothing',
    check: async (room) => {
      const reason = someReason();
      {
        await using pending = await room.begin('uncommitted');
        await pending.append(inPieces(BYTES, MiB));
        await room.soon(
          expectReason(() => pending.commit(digestOf(BYTES), { signal: AbortSignal.abort(reason) }), reason, 'commit'),
          'commit',
        );
      }
      await room.expectNothingLeft('uncommitted', 'after an aborted commit');
    },
  },
  {
    title: 'commit that is aborted on its way leaves the whole object or nothing',
    check: async (room) => {
      for (let turns = 0; turns < 6; turns += 1) {
        const name = `commit-${turns}`;
        const controller = new AbortController();
        const reason = someReason();
        let result: unknown;
        {
          await using pending = await room.begin(name);
          await pending.append(inPieces(BYTES.subarray(0, MiB), MiB));
          const called = pending.commit(digestOf(BYTES.subarray(0, MiB)), { signal: controller.signal }).catch((error: unknown) => error);
          for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
          controller.abort(reason);
          result = await room.soon(called, 'commit');
        }
        if (result === reason) await room.expectNothingLeft(name, 'after an aborted commit');
        else if (result instanceof Error) throw result;
        else expectBytes(await room.read(name), BYTES.subarray(0, MiB), 'the object that was committed in spite of the abort');
      }
    },
  },
  {
    title: 'a body is aborted in the middle, with the reason',
    check: async (room) => {
      await room.write('body', BYTES);
      for (const pulls of [0, 1, 2]) {
        const controller = new AbortController();
        const reason = someReason();
        await using source = await room.store.read(room.key('body'), { signal: controller.signal });
        const body = source[Symbol.asyncIterator]();
        let bytes = 0;
        for (let pull = 0; pull < pulls; pull += 1) bytes += (await body.next()).value?.length ?? 0;
        controller.abort(reason);
        if (bytes < BYTES.length)
          await room.soon(
            expectReason(() => body.next(), reason, `the body after ${pulls} chunks`),
            'the body',
          );
      }
      expectBytes(await room.read('body'), BYTES, 'the object afterwards');
    },
  },
  {
    title: 'a listing is aborted in the middle, with the reason',
    check: async (room) => {
      for (const name of ['1', '2/a', '3']) await room.write(name, BYTES.subarray(0, 10));
      const controller = new AbortController();
      const reason = someReason();
      const listed = room.store.list(room.prefix, { signal: controller.signal })[Symbol.asyncIterator]();
      await listed.next();
      controller.abort(reason);
      await room.soon(
        expectReason(() => listed.next(), reason, 'the listing'),
        'the listing',
      );
    },
  },
];
