const MAX_LINES = 4;
const MAX_CHARACTERS = 300;

/**
 * Text of a peer, or of a program, as an error may show it: its last lines in quotation marks, bounded, and without anything that
 * acts on a terminal. Empty where there is no text.
 */
export function shownText(text: string): string {
  const lines = text
    .split(/\r?\n|\r/)
    .map((line) => line.replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]+/gu, ' ').trim())
    .filter((line) => line !== '');
  const shown = lines.slice(-MAX_LINES).join(' / ');
  return shown === '' ? '' : `"${shown.slice(0, MAX_CHARACTERS)}"`;
}
