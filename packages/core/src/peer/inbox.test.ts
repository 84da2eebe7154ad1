import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { Inbox } from './inbox.ts';
import { WireProblem } from './wire.ts';

test('gives all bytes in order, allows again what was read, and never holds more than its window', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(fc.uint8Array({ minLength: 1, maxLength: 40 }), { maxLength: 40 }), async (chunks) => {
      const window = 64;
      const credit = { bytes: window };
      let wake = Promise.withResolvers<void>();
      const inbox = new Inbox(window, (bytes) => {
        credit.bytes += bytes;
        wake.resolve();
        wake = Promise.withResolvers();
      });
      const fill = async (): Promise<void> => {
        for (const chunk of chunks) {
          for (let at = 0; at < chunk.length;) {
            while (credit.bytes === 0) await wake.promise;
            const part = chunk.subarray(at, at + credit.bytes);
            credit.bytes -= part.length;
            at += part.length;
            inbox.push(part);
          }
        }
        inbox.end();
      };
      const read: Buffer[] = [];
      const filling = fill();
      for await (const chunk of inbox) {
        expect(chunk.length).toBeLessThanOrEqual(window);
        read.push(Buffer.from(chunk));
      }
      await filling;
      expect(Buffer.concat(read)).toEqual(Buffer.concat(chunks));
    }),
  );
});

test('wakes its reader for a quarter of the window or the end, not for every crumb', async () => {
  const inbox = new Inbox(64, () => undefined);
  const chunks = inbox[Symbol.asyncIterator]();
  const first = chunks.next();
  inbox.push(Buffer.alloc(10));
  await setImmediate();
  inbox.push(Buffer.alloc(10));
  expect((await first).value).toHaveLength(20);
  const last = chunks.next();
  inbox.push(Buffer.alloc(1));
  inbox.end();
  expect((await last).value).toHaveLength(1);
});

test('refuses more than it has allowed, and anything behind the end', () => {
  const inbox = new Inbox(10, () => undefined);
  inbox.push(Buffer.alloc(10));
  expect(() => inbox.push(Buffer.alloc(1))).toThrow(WireProblem);
  inbox.end();
  expect(() => inbox.push(Buffer.alloc(0))).toThrow(WireProblem);
  expect(() => inbox.end()).toThrow(WireProblem);
});
