import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { StoreError, assertKey, assertPrefix } from '@gantry/transport';

describe('keys', () => {
  test.each(['a', 'web1.example.com/20261123T081500Z/disk0.zst', 'a/_b', 'x'.repeat(200)])('accepts %j', (key) => {
    expect(() => assertKey(key)).not.toThrow();
  });

  test.each(['', '/', '/a', 'a/', 'a//b', '.', '..', 'a/../b', '.hidden', '-dash', 'a b', 'a\\b', 'a\0b', 'a\nb', 'ä', 'x'.repeat(201)])(
    'refuses %j',
    (key) => {
      expect(() => assertKey(key)).toThrow(StoreError);
    },
  );

  test('accepts all safe parts joined by single slashes', () => {
    const part = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9._@+=-]{0,20}$/);
    fc.assert(
      fc.property(fc.array(part, { minLength: 1, maxLength: 8 }), (parts) => {
        assertKey(parts.join('/'));
        assertPrefix(`${parts.join('/')}/`);
      }),
    );
  });

  test('refuses every key with a character outside the alphabet, at any position', () => {
    fc.assert(
      fc.property(
        fc.string({ maxLength: 10 }),
        fc.stringMatching(/^[^A-Za-z0-9._@+=/-]$/u),
        fc.string({ maxLength: 10 }),
        (before, bad, after) => {
          expect(() => assertKey(before + bad + after)).toThrow(/not a valid key/);
        },
      ),
    );
  });

  test('accepts the empty prefix, and refuses one that does not end with a slash', () => {
    expect(() => assertPrefix('')).not.toThrow();
    expect(() => assertPrefix('web1')).toThrow(/not a valid prefix/);
    expect(() => assertPrefix('../')).toThrow(/not a valid prefix/);
  });
});
