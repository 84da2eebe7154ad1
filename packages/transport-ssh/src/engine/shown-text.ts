const MAX_LINES = 4;
const MAX_CHARACTERS = 300;

/**
 * Untrusted text of a peer or a program for an error message: its last lines in quotation marks, limited in length, and without control
 * characters. Empty if there is no text.
 */
export function shownText(text: string): string {
  const lines = text
    .split(/\r?\n|\r/)
    .map((line) => line.replaceAll(/[\p{Cc}\p{Cf}\p{Co}\p{Cs}]+/gu, ' ').trim())
    .filter((line) => line !== '');
  const shown = lines.slice(-MAX_LINES).join(' / ');
  return shown === '' ? '' : `"${shown.slice(0, MAX_CHARACTERS)}"`;
}
