/** Far more than Ganeti nests its answers; what is done with them later goes as deep as they do. */
const MAX_DEPTH = 100;

/** Thrown for a text that is not JSON, or nested too deeply. Never has a part of the text. */
export class NotJsonError extends Error {
  override readonly name = 'NotJsonError';
}

/** @throws NotJsonError */
export function readJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new NotJsonError('it is not JSON');
  }
  if (isTooDeep(value)) throw new NotJsonError(`it is nested more than ${MAX_DEPTH} times`);
  return value;
}

/** Level by level, since recursion would fail first. */
function isTooDeep(value: unknown): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; level.length > 0; depth += 1) {
    if (depth > MAX_DEPTH) return true;
    level = level.flatMap((each) => (typeof each === 'object' && each !== null ? Object.values(each) : []));
  }
  return false;
}
