import type { ReadOptions } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf } from './data.ts';
import { expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Room } from './room.ts';

const SIZE = 3 * MiB + 11;
const BYTES = bytesOf(SIZE, 1);

const RANGES: readonly { readonly offset?: number; readonly length?: number }[] = [
  { offset: 0, length: 1 },
  { offset: 0, length: 1000 },
  { offset: 1, length: 2 },
  { offset: MiB - 3, length: 7 },
  { offset: 123_457, length: 2 * MiB },
  { offset: SIZE - 1, length: 1 },
  { offset: SIZE - 1000 },
  { length: 5 },
  { offset: 17, length: 0 },
  { offset: SIZE, length: 0 },
  { offset: SIZE },
];

const WHOLE: readonly ReadOptions[] = [{}, { offset: 0 }, { length: SIZE }, { offset: 0, length: SIZE }];

const BEYOND: readonly ReadOptions[] = [
  { offset: 0, length: SIZE + 1 },
  { offset: SIZE, length: 1 },
  { offset: SIZE + 1 },
  { offset: SIZE + 1, length: 0 },
  { offset: 10, length: SIZE },
  { offset: -1, length: 1 },
  { offset: 0, length: -1 },
  { offset: 0.5, length: 1 },
  { offset: 0, length: Number.NaN },
  { offset: Number.MAX_SAFE_INTEGER, length: Number.MAX_SAFE_INTEGER },
];

function said({ offset, length }: ReadOptions): string {
  return `offset ${offset ?? 'absent'}, length ${length ?? 'absent'}`;
}

async function readAndLetGo(room: Room, options: ReadOptions): Promise<void> {
  await using _source = await room.store.read(room.key('object'), options);
}

export const reading: readonly Check[] = [
  {
    title: 'the whole object, asked for in each way',
    check: async (room) => {
      await room.write('object', BYTES);
      for (const options of WHOLE) {
        await using source = await room.store.read(room.key('object'), options);
        expectEqual([source.length, source.objectSize], [SIZE, SIZE], `length and objectSize, ${said(options)}`);
        expectBytes(await room.read('object', options), BYTES, said(options));
      }
    },
  },
  {
    title: 'any range of bytes',
    check: async (room) => {
      await room.write('object', BYTES);
      for (const { offset = 0, length } of RANGES) {
        const options = { offset, length };
        if (!room.store.capabilities.rangedRead) {
          await expectCode(() => readAndLetGo(room, options), ['unsupported', 'invalid-range'], `reading ${said(options)}`);
          continue;
        }
        const expected = BYTES.subarray(offset, length === undefined ? undefined : offset + length);
        await using source = await room.store.read(room.key('object'), options);
        expectEqual([source.length, source.objectSize], [expected.length, SIZE], `length and objectSize, ${said(options)}`);
        expectBytes(await room.read('object', options), expected, said(options));
      }
    },
  },
  {
    title: 'several ranges at once',
    check: async (room) => {
      await room.write('object', BYTES);
      if (!room.store.capabilities.rangedRead) {
        await expectCode(() => readAndLetGo(room, { offset: 1, length: 1 }), 'unsupported', 'reading a range');
        return;
      }
      const starts = [0, 1, 77_777, MiB, 2 * MiB + 5, 2 * MiB + 6];
      const parts = await Promise.all(starts.map((offset) => room.read('object', { offset, length: MiB })));
      for (const [index, offset] of starts.entries()) {
        expectBytes(parts[index] ?? Buffer.alloc(0), BYTES.subarray(offset, offset + MiB), `${MiB} bytes from ${offset} on, among others`);
      }
    },
  },
  {
    title: 'a range that is not wholly inside is refused before the first byte',
    check: async (room) => {
      await room.write('object', BYTES);
      const code = room.store.capabilities.rangedRead ? 'invalid-range' : (['invalid-range', 'unsupported'] as const);
      for (const options of BEYOND) await expectCode(() => readAndLetGo(room, options), code, `reading ${said(options)}`);
      await room.write('empty', Buffer.alloc(0));
      await expectCode(() => room.store.read(room.key('empty'), { offset: 0, length: 1 }), code, 'reading 1 byte of none');
    },
  },
  {
    title: 'what is not there is not found, before the first byte',
    check: async (room) => {
      await room.write('object', BYTES.subarray(0, 10));
      for (const name of ['missing', 'missing/too', 'object/beneath', 'objec', 'object.']) {
        await expectCode(() => room.store.stat(room.key(name)), 'not-found', `stat of ${name}`);
        await expectCode(() => room.store.read(room.key(name)), 'not-found', `read of ${name}`);
        await expectCode(
          () => room.store.read(room.key(name), { offset: 0, length: 1 }),
          ['not-found', 'unsupported'],
          `ranged read of ${name}`,
        );
      }
    },
  },
  {
    title: 'the beginning of a key is no object',
    check: async (room) => {
      await room.write('above/object', BYTES.subarray(0, 10));
      await expectCode(() => room.store.stat(room.key('above')), 'not-found', 'stat of above');
      await expectCode(() => room.store.read(room.key('above')), 'not-found', 'read of above');
    },
  },
  {
    title: 'a reader can be left in the middle, and disposed again and again',
    check: async (room) => {
      await room.write('object', BYTES);
      for (let round = 0; round < 5; round += 1) {
        const source = await room.store.read(room.key('object'));
        for await (const chunk of source) {
          if (chunk.length > 0) break;
        }
        await source[Symbol.asyncDispose]();
        await source[Symbol.asyncDispose]();
        await (await room.store.read(room.key('object')))[Symbol.asyncDispose]();
      }
      const source = await room.store.read(room.key('object'));
      await source[Symbol.asyncIterator]().next();
      await source[Symbol.asyncDispose]();
      expectBytes(await room.read('object'), BYTES, 'the object afterwards');
    },
  },
];
