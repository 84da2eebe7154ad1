import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { LineReader, MAX_LINE_CHARACTERS } from './line-reader.ts';
import { createRedactor } from '../report/redact.ts';

/** The lines that come out when these chunks go in. */
function linesOf(chunks: readonly (string | Uint8Array)[], secrets: readonly string[] = []): string[] {
  const lines: string[] = [];
  const reader = new LineReader(createRedactor(secrets), (line) => lines.push(line));
  for (const chunk of chunks) reader.write(typeof chunk === 'string' ? Buffer.from(chunk) : chunk);
  reader.end();
  return lines;
}

describe('the lines of a script', () => {
  test('end with a newline, with both of the other world, or as progress does', () => {
    expect(linesOf(['one\ntwo\r\n10%\r20%\r\nlast'])).toEqual(['one', 'two', '10%', '20%', 'last']);
  });

  test('come as soon as they have ended', () => {
    const lines: string[] = [];
    const reader = new LineReader(createRedactor([]), (line) => lines.push(line));
    reader.write(Buffer.from('one\ntw'));
    expect(lines).toEqual(['one']);
    reader.write(Buffer.from('o\n'));
    expect(lines).toEqual(['one', 'two']);
  });

  test('may be empty, but not where progress is only drawn again', () => {
    expect(linesOf(['a\n\nb\n'])).toEqual(['a', '', 'b']);
    expect(linesOf(['\r10%\r\r20%\n'])).toEqual(['10%', '20%']);
  });

  test('are the same however the bytes arrive', () => {
    const text = fc.string({ unit: fc.constantFrom('a', 'ä', '🦀', '\n', '\r', '\r\n', '\t', 's3cret'), maxLength: 40 });
    fc.assert(
      fc.property(text, fc.array(fc.nat(60), { maxLength: 6 }), (whole, cuts) => {
        const bytes = Buffer.from(whole);
        const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b), bytes.length];
        const chunks = places.slice(1).map((end, index) => bytes.subarray(places[index], end));
        expect(linesOf(chunks, ['s3cret'])).toEqual(linesOf([bytes], ['s3cret']));
      }),
    );
  });

  test('that are not UTF-8 show it', () => {
    expect(linesOf([Buffer.from([0x61, 0xff, 0xc3, 0x0a, 0xc3])])).toEqual(['a��', '�']);
  });

  test('do nothing to a terminal', () => {
    expect(linesOf(['\u001b[1;31mred\u001b[0m \u001b]0;title\u0007bell\u0007 back\b tab\t nul\0 c1\u009b del\u007f'])).toEqual([
      'red bell\\x07 back\\x08 tab\t nul\\x00 c1\\x9b del\\x7f',
    ]);
    expect(linesOf(['turned \u202Egnp.exe\u2069 \u001b'])).toEqual(['turned \\u{202e}gnp.exe\\u{2069} \\x1b']);
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        for (const line of linesOf([bytes])) expect(line).not.toMatch(/[^\P{Cc}\t]/u);
      }),
    );
  });

  test('are cut where they are too long, and what follows is whole again', () => {
    const long = 'x'.repeat(MAX_LINE_CHARACTERS + 1);
    expect(linesOf([`${'x'.repeat(MAX_LINE_CHARACTERS)}\n`])).toEqual(['x'.repeat(MAX_LINE_CHARACTERS)]);
    expect(linesOf([`${long}\nnext\n`])).toEqual([`${'x'.repeat(MAX_LINE_CHARACTERS)}…`, 'next']);
    const endless = Array.from({ length: 1000 }, () => long);
    expect(linesOf([...endless, '\nnext'])).toEqual([`${'x'.repeat(MAX_LINE_CHARACTERS)}…`, 'next']);
  });
});

describe('secrets', () => {
  test('are taken out, the longest first, each line of one that has several', () => {
    expect(linesOf(['a=hunter2 b=hunter22\n'], ['hunter2', 'hunter22'])).toEqual(['a=*** b=***']);
    expect(linesOf(['key line one\nkey line two\n'], ['line one\nline two\n'])).toEqual(['key ***', 'key ***']);
  });

  test('are taken out where an escape sequence stands in them', () => {
    expect(linesOf(['hun\u001b[1mter2\n'], ['hunter2'])).toEqual(['***']);
  });

  test('do not show in part where a long line is cut', () => {
    const secret = 'abcdefghijklmnopqrstuvwxyz';
    fc.assert(
      fc.property(fc.integer({ min: MAX_LINE_CHARACTERS - 60, max: MAX_LINE_CHARACTERS + 60 }), fc.nat(80), (before, after) => {
        const [line = ''] = linesOf([`${'.'.repeat(before)}${secret}${'.'.repeat(after)}`], [secret]);
        expect(line).not.toContain('ab');
      }),
      { numRuns: 300 },
    );
  });

  test('that are empty take nothing out', () => {
    expect(linesOf(['plain\n'], ['', '\n'])).toEqual(['plain']);
  });
});
