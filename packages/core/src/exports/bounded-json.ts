/** What may be in a JSON document from elsewhere. */
export interface JsonBounds {
  /** Lists, objects, and members of both. */
  readonly maxValues: number;
  /** Members of any one list or object. */
  readonly maxMembers: number;
}

/** Thrown for a text that is not JSON, or has more in it than it may. */
export class JsonBoundsError extends Error {
  override readonly name = 'JsonBoundsError';
}

/**
 * Parses JSON whose size in memory, and whose checking, is bounded: a text of some MiB can hold millions of values, each of which takes a
 * hundred times its text, and as much again for what is found wrong with it. They are counted before anything is made of them.
 *
 * @throws JsonBoundsError
 */
export function parseBoundedJson(text: string, { maxValues, maxMembers }: JsonBounds): unknown {
  if (hasMoreValues(text, maxValues)) throw new JsonBoundsError(`it has more than ${maxValues} values`);
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch (error) {
    throw new JsonBoundsError('it is not JSON', { cause: error });
  }
  if (hasMoreMembers(document, maxMembers)) throw new JsonBoundsError(`a list or object in it has more than ${maxMembers} members`);
  return document;
}

const [QUOTE, COMMA, BRACKET, BRACE, BACKSLASH] = ['"', ',', '[', '{', '\\'].map((character) => character.charCodeAt(0));

/** Every value but the first of a list or object follows a comma, and that one follows its bracket. */
function hasMoreValues(text: string, limit: number): boolean {
  let count = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = endOfString(text, at);
    else if (code === COMMA || code === BRACKET || code === BRACE) count += 1;
    if (count > limit) return true;
  }
  return false;
}

/** Where the quote stands that ends a string; the end of the text where none does. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}

/** Goes through a document without calling itself, however deep that is. */
function hasMoreMembers(document: unknown, limit: number): boolean {
  const left: unknown[] = [document];
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value !== 'object' || value === null) continue;
    const members: readonly unknown[] = Array.isArray(value) ? value : Object.values(value);
    if (members.length > limit) return true;
    left.push(...members.filter((member) => typeof member === 'object' && member !== null));
  }
  return false;
}
