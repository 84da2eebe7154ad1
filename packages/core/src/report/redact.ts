/** What stands where a secret stood. */
const MASK = '***';

/** Takes secrets out of single lines of text. */
export interface Redactor {
  /** The length of the longest secret, characters: nothing shorter than that can be a part of one at the end of a cut line. */
  readonly longest: number;
  readonly redact: (line: string) => string;
}

/** A redactor for these values. Of a value with several lines, each line is a secret. */
export function createRedactor(secrets: readonly string[]): Redactor {
  const parts = new Set(secrets.flatMap((secret) => secret.split(/\r\n|\n|\r/)).filter((part) => part !== ''));
  // The longest first, so that a secret that holds another one goes whole.
  const ordered = [...parts].sort((a, b) => b.length - a.length);
  return {
    longest: ordered[0]?.length ?? 0,
    redact: (line) => ordered.reduce((text, part) => text.replaceAll(part, MASK), line),
  };
}
