import type { ReadOptions } from '../store.ts';
import type { Check } from './check.ts';
import { MiB, bytesOf } from './data.ts';
import { expectBytes, expectCode, expectEqual } from './expect.ts';
import type { Fixture } from './fixture.ts';

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

const COMPLETE: readonly ReadOptions[] = [{}, { offset: 0 }, { length: SIZE }, { offset: 0, length: SIZE }];

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

function describeRange({ offset, length }: ReadOptions): string {
  return `offset ${offset ?? 'absent'}, length ${length ?? 'absent'}`;
}

async function openAndClose(fixture: Fixture, options: ReadOptions): Promise<void> {
  await using _source = await fixture.store.read(fixture.key('object'), options);
}

export const reading: readonly Check[] = [
  {
    title: 'the complete object, asked for in every way',
    check: async (fixture) => {
      await fixture.write('object', BYTES);
      for (const options of COMPLETE) {
        await using source = await fixture.store.read(fixture.key('object'), options);
        expectEqual([source.length, source.objectSize], [SIZE, SIZE], `length and objectSize, ${describeRange(options)}`);
        expectBytes(await fixture.read('object', options), BYTES, describeRange(options));
      }
    },
  },
  {
    title: 'any range of bytes',
    check: async (fixture) => {
      await fixture.write('object', BYTES);
      for (const { offset = 0, length } of RANGES) {
        const options = { offset, length };
        if (!fixture.store.capabilities.rangedRead) {
          await expectCode(() => openAndClose(fixture, options), ['unsupported', 'invalid-range'], `reading ${describeRange(options)}`);
          continue;
        }
        const expected = BYTES.subarray(offset, length === undefined ? undefined : offset + length);
        await using source = await fixture.store.read(fixture.key('object'), options);
        expectEqual([source.length, source.objectSize], [expected.length, SIZE], `length and objectSize, ${describeRange(options)}`);
        expectBytes(await fixture.read('object', options), expected, describeRange(options));
      }
    },
  },
  {
    title: 'several ranges at once',
    check: async (fixture) => {
      await fixture.write('object', BYTES);
      if (!fixture.store.capabilities.rangedRead) {
        await expectCode(() => openAndClose(fixture, { offset: 1, length: 1 }), 'unsupported', 'reading a range');
        return;
      }
      const starts = [0, 1, 77_777, MiB, 2 * MiB + 5, 2 * MiB + 6];
      const parts = await Promise.all(starts.map((offset) => fixture.read('object', { offset, length: MiB })));
      for (const [index, offset] of starts.entries()) {
        expectBytes(parts[index] ?? Buffer.alloc(0), BYTES.subarray(offset, offset + MiB), `${MiB} bytes from ${offset} on, among others`);
      }
    },
  },
  {
    title: 'a range that exceeds the object is refused before the first byte',
    check: async (fixture) => {
      await fixture.write('object', BYTES);
      const code = fixture.store.capabilities.rangedRead ? 'invalid-range' : (['invalid-range', 'unsupported'] as const);
      for (const options of BEYOND) await expectCode(() => openAndClose(fixture, options), code, `reading ${describeRange(options)}`);
      await fixture.write('empty', Buffer.alloc(0));
      await expectCode(() => fixture.store.read(fixture.key('empty'), { offset: 0, length: 1 }), code, 'reading 1 byte of none');
    },
  },
  {
    title: 'a missing object is not found, before the first byte',
    check: async (fixture) => {
      await fixture.write('object', BYTES.subarray(0, 10));
      for (const name of ['missing', 'missing/too', 'object/beneath', 'objec', 'object.']) {
        await expectCode(() => fixture.store.stat(fixture.key(name)), 'not-found', `stat of ${name}`);
        await expectCode(() => fixture.store.read(fixture.key(name)), 'not-found', `read of ${name}`);
        await expectCode(
          () => fixture.store.read(fixture.key(name), { offset: 0, length: 1 }),
          ['not-found', 'unsupported'],
          `ranged read of ${name}`,
        );
      }
    },
  },
  {
    title: 'the start of a key is not an object',
    check: async (fixture) => {
      await fixture.write('above/object', BYTES.subarray(0, 10));
      await expectCode(() => fixture.store.stat(fixture.key('above')), 'not-found', 'stat of above');
      await expectCode(() => fixture.store.read(fixture.key('above')), 'not-found', 'read of above');
    },
  },
  {
    title: 'a reader can be left early, and disposed repeatedly',
    check: async (fixture) => {
      await fixture.write('object', BYTES);
      for (let round = 0; round < 5; round += 1) {
        const source = await fixture.store.read(fixture.key('object'));
        for await (const chunk of source) {
          if (chunk.length > 0) break;
        }
        await source[Symbol.asyncDispose]();
        await source[Symbol.asyncDispose]();
        await (await fixture.store.read(fixture.key('object')))[Symbol.asyncDispose]();
      }
      const source = await fixture.store.read(fixture.key('object'));
      await source[Symbol.asyncIterator]().next();
      await source[Symbol.asyncDispose]();
      expectBytes(await fixture.read('object'), BYTES, 'the object afterwards');
    },
  },
];
