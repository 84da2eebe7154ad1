import type { Check } from './check.ts';
import { bytesOf, digestOf, inPieces, refilled } from './data.ts';
import { expect, expectBytes, expectCode, expectReason } from './expect.ts';

/** It looks like a file system error: a store must not take an error of its caller's source for its own. */
function sourceError(): Error {
  return Object.assign(new Error('the source failed'), { code: 'ENOENT', errno: -2, syscall: 'open' });
}

async function* failing(bytes: Buffer, error: Error): AsyncGenerator<Uint8Array> {
  yield* inPieces(bytes, 1000);
  throw error;
}

/** Yields each chunk one turn of the event loop late, and counts how many are asked for at once. */
class CountingSource implements AsyncIterable<Uint8Array> {
  maxConcurrent = 0;
  returned = false;
  #asked = 0;
  readonly #chunks: Iterator<Uint8Array>;

  constructor(bytes: Buffer, size: number) {
    this.#chunks = Iterator.from(
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) => bytes.subarray(at * size, (at + 1) * size)),
    );
  }

  [Symbol.asyncIterator](): AsyncIterator<Uint8Array> {
    return {
      next: async () => {
        this.#asked += 1;
        this.maxConcurrent = Math.max(this.maxConcurrent, this.#asked);
        await new Promise((resolve) => setImmediate(resolve));
        this.#asked -= 1;
        const { done, value } = this.#chunks.next();
        return done === true ? { done: true, value: undefined } : { done: false, value };
      },
      return: async () => {
        this.returned = true;
        return { done: true, value: undefined };
      },
    };
  }
}

export const streams: readonly Check[] = [
  {
    title: 'a chunk is used before the next one is asked for: its source may reuse the memory',
    check: async (fixture) => {
      const bytes = bytesOf(500_000, 1);
      await using pending = await fixture.begin('refilled');
      await pending.append(refilled(bytes, 10_007));
      await pending.commit(digestOf(bytes));
      expectBytes(await fixture.read('refilled'), bytes, 'the object');
    },
  },
  {
    title: 'append asks for one chunk at a time',
    check: async (fixture) => {
      const bytes = bytesOf(300_000, 2);
      const source = new CountingSource(bytes, 4_096);
      await using pending = await fixture.begin('pulled');
      await pending.append(source);
      expect(source.maxConcurrent === 1, `append asked for ${source.maxConcurrent} chunks at once, without back-pressure`);
      await pending.commit(digestOf(bytes));
      expectBytes(await fixture.read('pulled'), bytes, 'the object');
    },
  },
  {
    title: 'errors of the source are passed on unchanged, and nothing is left',
    check: async (fixture) => {
      const error = sourceError();
      {
        await using pending = await fixture.begin('broken');
        await expectReason(() => pending.append(failing(bytesOf(50_000, 3), error)), error, 'append from a source that throws');
        await fixture.expectAbsent('broken', 'after the source failed');
      }
      await fixture.expectNothingLeft('broken', 'after the source failed');
    },
  },
  {
    title: 'after a rejected append the object cannot be committed',
    check: async (fixture) => {
      const bytes = bytesOf(50_000, 4);
      {
        await using pending = await fixture.begin('half');
        const error = sourceError();
        await expectReason(() => pending.append(failing(bytes, error)), error, 'append from a source that throws');
        const codes = ['unsupported', 'integrity', 'not-found', 'unavailable'] as const;
        await expectCode(() => pending.commit(digestOf(bytes)), codes, 'commit after a rejected append');
      }
      await fixture.expectNothingLeft('half', 'after a refused commit');
    },
  },
];
