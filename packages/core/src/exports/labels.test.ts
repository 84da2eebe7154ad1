import { describe, expect, test } from 'vitest';
import { checkLabels } from './labels.ts';

describe('labels', () => {
  test('are kept as they are, each tag once', () => {
    expect(checkLabels({ tags: ['a', 'before-upgrade', 'a', 'k=v'], note: 'why, and how' })).toEqual({
      tags: ['a', 'before-upgrade', 'k=v'],
      note: 'why, and how',
    });
    expect(checkLabels({})).toEqual({});
    expect(checkLabels({ tags: [] })).toEqual({});
  });

  test.each(['', 'a,b', 'a b', '-a', 'ä', 'a'.repeat(65)])('%j is not a tag', (tag) => {
    expect(() => checkLabels({ tags: [tag] })).toThrow(/is not a valid tag/);
  });

  test('are few and short', () => {
    expect(() => checkLabels({ tags: Array.from({ length: 33 }, (_, index) => `t${index}`) })).toThrow('at most 32 tags, not 33');
    expect(() => checkLabels({ note: 'x'.repeat(1001) })).toThrow('at most 1000 characters, not 1001');
  });
});
