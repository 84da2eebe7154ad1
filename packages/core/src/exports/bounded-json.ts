/** Limits for a JSON document from elsewhere. */
export interface JsonBounds {
  /** Lists, objects, and the members of both. */
  readonly maxValues: number;
  /** Members of a single list or object. */
  readonly maxMembers: number;
}

/** Thrown for a text that is not JSON, or exceeds the limits. */
export class JsonBoundsError extends Error {
  override readonly name = 'JsonBoundsError';
}

/**
 * Parses JSON with bounded memory for the values and for checking them: a text of some MiB can contain millions of values, each of which
 * takes a hundred times the memory of its text, and as much again for problems with it. Values are counted before they are created.
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

/** The first value of a list or object follows its bracket, and every other a comma. */
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

/** Position of the quote that ends a string; the end of the text without one. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let before = end - 1;
    while (text.charCodeAt(before) === BACKSLASH) before -= 1;
    if ((end - before) % 2 === 1) return end;
  }
  return text.length;
}

/** Walks through a document without recursion, which may be nested deeply. */
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
