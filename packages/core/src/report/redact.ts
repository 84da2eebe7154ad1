/** Shown in place of a secret. */
const MASK = '***';

/** Removes secrets from single lines of text. */
export interface Redactor {
  /** Length of the longest secret, characters. Where a line was cut, its end may hold at most this much of a secret. */
  readonly longest: number;
  readonly redact: (line: string) => string;
}

/** A redactor for these values. In a value with several lines, each line is a secret. */
export function createRedactor(secrets: readonly string[]): Redactor {
  const parts = new Set(secrets.flatMap((secret) => secret.split(/\r\n|\n|\r/)).filter((part) => part !== ''));
  // The longest first, so that a secret that contains another one is removed completely.
  const ordered = [...parts].sort((a, b) => b.length - a.length);
  return {
    longest: ordered[0]?.length ?? 0,
    redact: (line) => ordered.reduce((text, part) => text.replaceAll(part, MASK), line),
  };
}
