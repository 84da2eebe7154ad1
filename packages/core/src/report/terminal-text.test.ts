import { describe, expect, test } from 'vitest';
import { terminalSafe, terminalSafeJson } from './terminal-text.ts';

const UNSAFE = [
  '\u0000',
  '\n',
  '\u001B',
  '\u007F',
  '\u0085',
  '\u009B',
  '\u061C',
  '\u200B',
  '\u200F',
  '\u2028',
  '\u202E',
  '\u2066',
  '\uFEFF',
  '\u{E0041}',
  '\uD800',
];

describe('terminalSafe', () => {
  test.each(UNSAFE)('writes %j out', (character) => {
    expect(terminalSafe(`a${character}b`)).toMatch(/^a\\(x[0-9a-f]{2}|u\{[0-9a-f]+\})b$/);
  });

  test('takes whole escape sequences out, and leaves all other text alone', () => {
    expect(terminalSafe('\u001B[31mred\u001B[0m \u001B]0;title\u0007tab\there größer 東京 👍')).toBe('red tab\there größer 東京 👍');
  });
});

describe('terminalSafeJson', () => {
  test.each(UNSAFE)('escapes %j so that a reader of the JSON gets it back', (character) => {
    const value = { [`key${character}`]: `a${character}b` };
    const text = terminalSafeJson(value);
    expect(text).toMatch(/^[ -~]*$/);
    expect(JSON.parse(text)).toEqual(value);
  });

  test('leaves all other text as JSON.stringify has it', () => {
    const value = { text: 'größer\t"東京" 👍', number: 1, list: [null, true] };
    expect(terminalSafeJson(value)).toBe(JSON.stringify(value));
  });
});
