/** Escape sequences that change colours, move the cursor or set titles (ECMA-48 CSI and OSC). */
// oxlint-disable-next-line no-control-regex -- they are what is looked for
const ESCAPE_SEQUENCE = /\u001B(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001B]*(?:\u0007|\u001B\\))/g;

/** Control characters but the tab; what turns the direction of text; line and paragraph separators; lone surrogates. */
const UNSAFE = /[\p{Cc}--\t]|[\u061C\u200E\u200F\u2028-\u202E\u2066-\u2069\uFEFF]|\p{Cs}/gv;

/** Text from elsewhere, fit to be shown on a terminal: no escape sequences, other control characters written out as `\x07`. */
export function terminalSafe(text: string): string {
  return text.replaceAll(ESCAPE_SEQUENCE, '').replaceAll(UNSAFE, writtenOut);
}

function writtenOut(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
}
