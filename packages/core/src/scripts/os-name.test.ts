import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { parseOsName } from './os-name.ts';

describe('the name of an OS', () => {
  test.each([
    ['debootstrap', 'debootstrap', undefined],
    ['debootstrap+default', 'debootstrap', 'default'],
    ['image_2-x', 'image_2-x', undefined],
    ['debian-12.5+min.1', 'debian-12.5', 'min.1'],
    ['os+one+two', 'os', 'one+two'],
  ])('%j is the definition %j with the variant %j', (text, name, variant) => {
    expect(parseOsName(text)).toEqual({ name, variant });
  });

  test.each([
    '',
    '.',
    '..',
    '.hidden',
    '../etc',
    'a/b',
    '/srv/os',
    'a b',
    'a\nb',
    'a\0',
    'ä',
    '+default',
    'os+',
    'os+a b',
    'os+a/b',
    'os+\u001b[0m',
    'x'.repeat(256),
  ])('%j is refused', (text) => {
    expect(() => parseOsName(text)).toThrow(expect.objectContaining({ code: 'OS_NAME_INVALID' }));
  });

  test('never gives a name that leads out of a directory or carries control characters', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        let name: string;
        let variant: string | undefined;
        try {
          ({ name, variant } = parseOsName(text));
        } catch (error) {
          expect(error).toMatchObject({ code: 'OS_NAME_INVALID' });
          return;
        }
        expect(name).toMatch(/^[\w-][\w.-]*$/);
        expect(variant ?? 'none').not.toMatch(/[\p{Cc}/\s]/u);
      }),
    );
  });

  test('shows what it refuses without its control characters', () => {
    expect(() => parseOsName('a\u001b[31mb')).toThrow(expect.objectContaining({ message: expect.stringContaining('"a\\u001b[31mb"') }));
  });
});
