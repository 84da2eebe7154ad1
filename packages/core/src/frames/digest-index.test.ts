import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { BytesList } from '../system/number-lists.ts';
import { DIGEST_BYTES } from '../system/sha256.ts';
import { DigestIndex } from './digest-index.ts';

const digestOf = (value: number | string): Buffer => createHash('sha256').update(String(value)).digest();
const numbered = (values: number): readonly number[] => Array.from({ length: values }, (_, value) => value);

/** An index of digests, and how often it looked at one of them to add them all. */
function indexOf(digests: readonly Uint8Array[]): { readonly index: DigestIndex; readonly looks: number } {
  const list = new BytesList(DIGEST_BYTES);
  let looks = 0;
  const index = new DigestIndex((entry) => {
    looks += 1;
    return list.at(entry);
  });
  for (const digest of digests) {
    list.push(digest);
    index.add(list.length - 1);
  }
  return { index, looks };
}

/** Adding one digest looks at itself, at a few others, and at each again when the table grows. */
const MAX_LOOKS_EACH = 12;

test('each of many digests is found, and no other; of equal ones the first', () => {
  const { index } = indexOf(numbered(20_000).map((value) => digestOf(value % 15_000)));
  for (let value = 0; value < 15_000; value += 1) expect(index.find(digestOf(value))).toBe(value);
  expect(index.find(digestOf('another'))).toBeUndefined();
});

test('what was not added is not found, although it is in the list', () => {
  const list = numbered(3000).map(digestOf);
  const index = new DigestIndex((entry) => list[entry]);
  for (let entry = 0; entry < list.length; entry += 2) index.add(entry);
  for (const [entry, digest] of list.entries()) expect(index.find(digest)).toBe(entry % 2 === 0 ? entry : undefined);
});

test('a disk of one repeated frame takes no more time than one of different frames', () => {
  const { index, looks } = indexOf(numbered(20_000).map(() => digestOf('the same')));
  expect(index.find(digestOf('the same'))).toBe(0);
  expect(looks).toBeLessThan(20_000 * MAX_LOOKS_EACH);
});

test.each([0, 4, 8, 16, 28])('digests that were chosen so that they differ only in the 4 bytes from %i on are spread too', (place) => {
  const chosen = numbered(20_000).map((value) => {
    const digest = Buffer.alloc(DIGEST_BYTES);
    // Steps of a large power of two, which share the low bits.
    digest.writeUInt32LE(value * 2 ** 16, place);
    return digest;
  });
  const { index, looks } = indexOf(chosen);
  expect(index.find(chosen[19_999] ?? Buffer.alloc(0))).toBe(19_999);
  expect(looks).toBeLessThan(20_000 * MAX_LOOKS_EACH);
});
