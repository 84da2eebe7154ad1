import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { ExpectedSize } from './expected-size.ts';

function read(...chunks: readonly string[]): number | undefined {
  const size = new ExpectedSize();
  for (const chunk of chunks) size.write(Buffer.from(chunk));
  size.end();
  return size.bytes;
}

describe('the expected size', () => {
  test('is the number on the first line', () => {
    expect(read('1048576\n')).toBe(1048576);
    expect(read(' 10\t\r\n')).toBe(10);
    expect(read('0\n')).toBe(0);
    expect(read('10', '24\n')).toBe(1024);
    expect(read('5\n6\n')).toBe(5);
  });

  test('is known as soon as its line has ended', () => {
    const size = new ExpectedSize();
    size.write(Buffer.from('42'));
    expect(size.bytes).toBeUndefined();
    size.write(Buffer.from('\n'));
    expect(size.bytes).toBe(42);
  });

  test('may lack its newline when nothing more comes', () => {
    expect(read('77')).toBe(77);
  });

  test.each([
    '',
    '\n',
    'a lot\n',
    '-5\n',
    '1.5\n',
    '1e9\n',
    '0x10\n',
    '12 MiB\n',
    '\n5\n',
    '99999999999999999999\n',
    '9'.repeat(5000),
    'ä\n',
    '9007199254740993\n',
  ])('is not known from %j', (text) => {
    expect(read(text)).toBeUndefined();
  });

  test('is any size that a number can say exactly, however it arrives', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(16), (bytes, cut) => {
        const text = `${String(bytes)}\n`;
        expect(read(text.slice(0, cut), text.slice(cut))).toBe(bytes);
      }),
    );
  });
});
