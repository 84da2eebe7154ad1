import { describe, expect, test } from 'vitest';
import type { Consumer } from './fan-out.ts';
import { Backlog, fanOut, Occurrence, QueuedStream } from './fan-out.ts';

const CHUNK_BYTES = 10;

interface Taker extends Consumer {
  readonly stream: QueuedStream;
  /** Takes that many chunks, all that come by default. @returns their first bytes */
  readonly take: (count?: number) => Promise<readonly number[]>;
  isLive: boolean;
}

function takers(count: number, maxBytes: number) {
  const changed = new Occurrence();
  const all = Array.from({ length: count }, (): Taker => {
    const backlog = new Backlog(maxBytes, changed);
    const stream = new QueuedStream(backlog);
    const iterator = stream[Symbol.asyncIterator]();
    const taker: Taker = {
      isLive: true,
      backlog,
      stream,
      leaveBehind() {
        taker.isLive = false;
        stream.close();
      },
      async take(wanted = Infinity) {
        const taken: number[] = [];
        while (taken.length < wanted) {
          const step = await iterator.next();
          if (step.done === true) break;
          taken.push(step.value[0] ?? -1);
        }
        return taken;
      },
    };
    return taker;
  });
  const run = async (source: AsyncIterable<Uint8Array>, signal = new AbortController().signal): Promise<boolean> => {
    const isComplete = await fanOut(source, { streams: all.map((taker) => [taker, taker.stream] as const), changed, signal });
    for (const { stream } of all) stream.end();
    return isComplete;
  };
  return { all, run };
}

/** Chunks in the same memory, as encoders give them. @param produced called before each with how many came before it */
async function* numbered(count: number, produced: (before: number) => void = () => undefined): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(CHUNK_BYTES);
  for (let index = 0; index < count; index += 1) {
    produced(index);
    yield memory.fill(index);
  }
}

const NUMBERS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];

describe('a fan-out', () => {
  test('gives everybody everything in order, although the source uses its memory again', async () => {
    const { all, run } = takers(3, 2 * CHUNK_BYTES);
    const [isComplete, ...taken] = await Promise.all([run(numbered(10)), ...all.map((taker) => taker.take())]);
    expect(isComplete).toBe(true);
    expect(taken).toEqual([NUMBERS, NUMBERS, NUMBERS]);
  });

  test('leaves one behind that has its backlog full while another waits, and goes on', async () => {
    const { all, run } = takers(2, 3 * CHUNK_BYTES);
    const [fast, slow] = all;
    const slowly = slow?.take(1);
    const [isComplete, taken] = await Promise.all([run(numbered(10)), fast?.take()]);
    expect(isComplete).toBe(true);
    expect(taken).toEqual(NUMBERS);
    await expect(slowly).resolves.toEqual([0]);
    expect([fast?.isLive, slow?.isLive]).toEqual([true, false]);
  });

  test('waits if all have their backlogs full: nobody is left behind, and no more is read than they can take', async () => {
    const { all, run } = takers(2, 3 * CHUNK_BYTES);
    let produced = 0;
    const done = run(numbered(10, (before) => (produced = before)));
    await Promise.all(all.map((taker) => taker.take(1)));
    await Promise.all(all.map((taker) => taker.take(1)));
    // Each holds one chunk, and has three in its backlog with it; one more was read.
    expect(produced).toBeLessThanOrEqual(5);
    const rest = await Promise.all(all.map((taker) => taker.take()));
    await expect(done).resolves.toBe(true);
    expect(rest).toEqual([NUMBERS.slice(2), NUMBERS.slice(2)]);
    expect(all.map(({ isLive }) => isLive)).toEqual([true, true]);
  });

  test('never leaves the last one behind, however slow it is', async () => {
    const { all, run } = takers(2, CHUNK_BYTES);
    const [gone, last] = all;
    if (gone !== undefined) gone.isLive = false;
    const done = run(numbered(10));
    const taken: number[] = [];
    for (let index = 0; index < 10; index += 1) taken.push(...((await last?.take(1)) ?? []));
    expect(taken).toEqual(NUMBERS);
    await expect(last?.take()).resolves.toEqual([]);
    await expect(done).resolves.toBe(true);
  });

  test('ends when nobody is left, closes its source, and says so', async () => {
    const { all, run } = takers(2, CHUNK_BYTES);
    let isClosed = false;
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        for (;;) {
          for (const taker of all) taker.isLive = false;
          yield Buffer.alloc(1);
        }
      } finally {
        isClosed = true;
      }
    }
    await expect(run(endless())).resolves.toBe(false);
    expect(isClosed).toBe(true);
  });

  test('rejects with the error of its source, and with the reason of the signal while it waits', async () => {
    const { run } = takers(1, CHUNK_BYTES);
    async function* failing(): AsyncGenerator<Uint8Array> {
      yield Buffer.alloc(1);
      throw new Error('no more');
    }
    await expect(run(failing())).rejects.toThrow('no more');
    const stopped = takers(1, CHUNK_BYTES);
    const abort = new AbortController();
    const waiting = stopped.run(numbered(10), abort.signal);
    await stopped.all[0]?.take(1);
    abort.abort(new Error('enough'));
    await expect(waiting).rejects.toThrow('enough');
  });

  test('takes a chunk that is larger than a backlog', async () => {
    const { all, run } = takers(1, 1);
    const [isComplete, taken] = await Promise.all([run(numbered(3)), all[0]?.take()]);
    expect([isComplete, taken]).toEqual([true, [0, 1, 2]]);
  });
});
