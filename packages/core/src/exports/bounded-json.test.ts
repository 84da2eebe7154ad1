import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { parseBoundedJson } from './bounded-json.ts';

const wide = { maxValues: 10_000, maxMembers: 1000 };

/** How many values there are, but for the outermost, and lists and objects once more. */
function valuesOf(document: unknown): number {
  if (typeof document !== 'object' || document === null) return 0;
  const members: readonly unknown[] = Object.values(document);
  return 1 + Math.max(0, members.length - 1) + members.reduce((sum: number, member) => sum + valuesOf(member), 0);
}

test('JSON comes back as JSON.parse has it, and its values are counted, no matter what is in its strings', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const document: unknown = JSON.parse(text);
      const count = valuesOf(document);
      expect(parseBoundedJson(text, { maxValues: count, maxMembers: 1000 })).toEqual(document);
      if (count > 0)
        expect(() => parseBoundedJson(text, { maxValues: count - 1, maxMembers: 1000 })).toThrow(`it has more than ${count - 1} values`);
    }),
  );
});

test.each([String.raw`{"a":"\",[[[[","b":"\\"}`, String.raw`"\\\",,,,"`])('%s: brackets in strings do not count', (text) => {
  expect(parseBoundedJson(text, { maxValues: 2, maxMembers: 2 })).toEqual(JSON.parse(text));
});

describe('what is refused', () => {
  test.each(['', '{', '"', '"\\"', '[1,'])('%j is not JSON', (text) => {
    expect(() => parseBoundedJson(text, wide)).toThrow('it is not JSON');
  });

  test('a list or an object with too many members, at any depth', () => {
    const members = Array.from({ length: 1001 }, (_, index) => index);
    for (const value of [members, [[members]], { a: { b: [Object.fromEntries(members.map((index) => [`k${index}`, index]))] } }])
      expect(() => parseBoundedJson(JSON.stringify(value), wide)).toThrow('more than 1000 members');
    expect(parseBoundedJson(JSON.stringify(members.slice(1)), wide)).toHaveLength(1000);
  });
});
