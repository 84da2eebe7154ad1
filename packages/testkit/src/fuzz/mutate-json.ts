import { EDGE_NUMBERS, HOSTILE_WORDS } from './hostile-words.ts';
import type { Random } from './random.ts';

/** A value of JSON that can be changed, and what holds it. */
interface Place {
  readonly holder: unknown[] | Record<string, unknown>;
  readonly key: string | number;
}

/** How deep a value is nested at most by one mutation: more than recursion bears. */
const MAX_NESTING = 20_000;

export interface MutatedJson {
  readonly text: string;
  /** Whether a value was nested deeply, so that the text may be far longer than usual. */
  readonly isNested: boolean;
}

/**
 * Changes one value of a document, so that the rest stays what it was: readers look at most of it only if its form is right.
 *
 * @returns undefined if the text is not a list or an object with something in it
 */
export function mutateJson(text: string, words: readonly string[], random: Random): MutatedJson | undefined {
  try {
    return mutateDocument(JSON.parse(text), words, random);
  } catch (error) {
    // What is nested too deeply for these functions of JavaScript is mutated as text.
    if (error instanceof SyntaxError || error instanceof RangeError) return undefined;
    throw error;
  }
}

function mutateDocument(document: unknown, words: readonly string[], random: Random): MutatedJson | undefined {
  const places = placesIn(document);
  if (places.length === 0) return undefined;
  const place = random.pick(places);
  if (random.oneIn(2000)) {
    const nested = nesting(random);
    setAt(place, NESTED);
    return { text: JSON.stringify(document).replace(JSON.stringify(NESTED), () => nested), isNested: true };
  }
  change(place, random.pick(places), words, random);
  return { text: JSON.stringify(document), isNested: false };
}

const NESTED = 'in the place of what is nested';

function nesting(random: Random): string {
  const depth = 1 + random.below(MAX_NESTING);
  return random.oneIn(2) ? '['.repeat(depth) + ']'.repeat(depth) : `${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}`;
}

function placesIn(document: unknown): Place[] {
  const places: Place[] = [];
  const left: unknown[] = [document];
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (Array.isArray(value)) {
      const holder: unknown[] = value;
      for (const [key, item] of holder.entries()) take({ holder, key }, item);
    } else if (isGroup(value)) for (const [key, item] of Object.entries(value)) take({ holder: value, key }, item);
  }
  return places;

  function take(place: Place, item: unknown): void {
    places.push(place);
    if (typeof item === 'object' && item !== null) left.push(item);
  }
}

function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}

function change(place: Place, other: Place, words: readonly string[], random: Random): void {
  const { holder, key } = place;
  switch (random.below(6)) {
    case 0:
      return Array.isArray(holder) ? void holder.splice(Number(key), 1) : void delete holder[key];
    case 1:
      return setAt(place, structuredClone(getAt(other)));
    case 2:
      return Array.isArray(holder)
        ? void holder.push(structuredClone(getAt(place)))
        : define(holder, random.pick([...HOSTILE_WORDS, ...words]), getAt(place));
    case 3:
      return setAt(place, changedText(getAt(place), words, random));
    default:
      return setAt(place, newValue(words, random));
  }
}

function changedText(value: unknown, words: readonly string[], random: Random): unknown {
  if (typeof value !== 'string') return newValue(words, random);
  const at = random.below(value.length + 1);
  const word = random.pick([...HOSTILE_WORDS, ...words]);
  return random.oneIn(4) ? value.slice(0, at) : `${value.slice(0, at)}${word}${value.slice(at + random.below(3))}`;
}

function newValue(words: readonly string[], random: Random): unknown {
  switch (random.below(5)) {
    case 0:
      // Not all of them are JSON, or can be represented.
      return Number(random.pick(EDGE_NUMBERS));
    case 1:
      return random.pick([null, true, false, [], {}, [[]], [{}], '']);
    case 2:
      return random.pick(EDGE_NUMBERS);
    case 3:
      return random.pick([...HOSTILE_WORDS, ...words]).repeat(random.oneIn(20) ? 1 + random.below(300) : 1);
    default:
      return random.pick([...HOSTILE_WORDS, ...words]);
  }
}

function getAt({ holder, key }: Place): unknown {
  return Array.isArray(holder) ? holder[Number(key)] : holder[key];
}

function setAt({ holder, key }: Place, value: unknown): void {
  if (Array.isArray(holder)) holder[Number(key)] = value;
  else define(holder, String(key), value);
}

/** Also for names such as `__proto__`. */
function define(holder: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
}
