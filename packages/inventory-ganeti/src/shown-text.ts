const MAX_SHOWN_LENGTH = 300;

/** Text of a server in one line that a terminal can show: without control characters, cut where it is long. */
export function shownText(text: string): string {
  const line = text
    .replaceAll(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .replace(/\.$/, '');
  return line.length > MAX_SHOWN_LENGTH ? `${line.slice(0, MAX_SHOWN_LENGTH)}…` : line;
}
