/** Escape sequences that change colours, move the cursor or set titles (ECMA-48 CSI and OSC). */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const ESCAPE_SEQUENCE = /\u001B(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\))/g;

/**
 * Control characters except the tab (C1 too: U+009B starts a sequence as ESC [ does); characters that change the direction of text or
 * are invisible; line and paragraph separators; lone surrogates.
 */
const UNSAFE = /[\p{Cc}--\t]|[\u061C\u200B\u200E\u200F\u2028-\u202E\u2060-\u206F\uFEFF]|[\u{E0000}-\u{E007F}]|\p{Cs}/gv;

/** Makes foreign text safe for a terminal: escape sequences are removed, other control characters are written as `\x07`. */
export function terminalSafe(text: string): string {
  return text.replaceAll(ESCAPE_SEQUENCE, '').replaceAll(UNSAFE, writtenOut);
}

/**
 * A value as one line of JSON that is safe for a terminal. What {@link terminalSafe} would write out is escaped as `\u009b`: such
 * characters occur only in strings, so a reader of the JSON gets them back unchanged.
 */
export function terminalSafeJson(value: unknown): string {
  return JSON.stringify(value).replaceAll(UNSAFE, escapedUnits);
}

function writtenOut(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}

function escapedUnits(character: string): string {
  return Array.from({ length: character.length }, (_, at) => `\\u${character.charCodeAt(at).toString(16).padStart(4, '0')}`).join('');
}
