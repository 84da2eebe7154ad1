import { GantryError } from '../report/errors.ts';

/** The most tags of one export. */
export const MAX_TAGS = 32;
/** The most characters of a note. */
export const MAX_NOTE_CHARACTERS = 1000;

/** What the user says of an export. */
export interface Labels {
  /** Words by which retention keeps the export. */
  readonly tags?: readonly string[] | undefined;
  /** For people. */
  readonly note?: string | undefined;
}

/** Whether a word can be a tag: without commas, which are between tags, and the same in every shell. */
export function isTag(word: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9._:=+-]{0,63}$/.test(word);
}

/** The labels as a manifest has them. @throws GantryError `USAGE` for tags or a note that an export cannot have */
export function checkLabels({ tags = [], note }: Labels): { readonly tags?: readonly string[]; readonly note?: string } {
  const wrong = tags.find((tag) => !isTag(tag));
  if (wrong !== undefined) {
    throw new GantryError('USAGE', {
      message: `${JSON.stringify(wrong)} is not a valid tag`,
      hint: 'A tag has letters, digits and . _ : = + - and begins with a letter or digit; at most 64 characters.',
    });
  }
  const unique = [...new Set(tags)];
  if (unique.length > MAX_TAGS) throw new GantryError('USAGE', { message: `an export has at most ${MAX_TAGS} tags, not ${unique.length}` });
  if (note !== undefined && note.length > MAX_NOTE_CHARACTERS)
    throw new GantryError('USAGE', {
      message: `a note has at most ${MAX_NOTE_CHARACTERS} characters, not ${note.length}`,
      hint: 'Make it shorter.',
    });
  return { ...(unique.length === 0 ? {} : { tags: unique }), ...(note === undefined ? {} : { note }) };
}
