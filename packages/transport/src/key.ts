import { StoreError } from './errors.ts';

/** The longest key, in characters (all of them ASCII, so bytes too): what S3 allows, less room for a prefix of 256. */
export const MAX_KEY_LENGTH = 768;

/** The longest part of a key between two `/`: `NAME_MAX` of Linux file systems, less room for a store's own marks. */
export const MAX_KEY_PART_LENGTH = 200;

const PART = /^[A-Za-z0-9_][A-Za-z0-9._@+=-]*$/;

/** Whether `part` may stand between two `/` of a key: letters, digits and `._@+=-`, not starting with a mark but `_`. */
export function isKeyPart(part: string): boolean {
  return part.length <= MAX_KEY_PART_LENGTH && PART.test(part);
}

/**
 * Refuses a key that is not safe in every store: keys are relative, their parts divided by `/`.
 *
 * @throws StoreError `invalid-key`
 */
export function assertKey(key: string): void {
  if (key.length > MAX_KEY_LENGTH || !key.split('/').every(isKeyPart)) {
    throw invalidKey(key, 'key');
  }
}

/**
 * Refuses a prefix that {@link assertKey} would refuse as the beginning of a key. A prefix is empty (everything) or ends
 * in `/`: listing goes by whole parts.
 *
 * @throws StoreError `invalid-key`
 */
export function assertPrefix(prefix: string): void {
  if (prefix === '') return;
  if (!prefix.endsWith('/') || prefix.length > MAX_KEY_LENGTH || !prefix.slice(0, -1).split('/').every(isKeyPart)) {
    throw invalidKey(prefix, 'prefix');
  }
}

function invalidKey(key: string, what: 'key' | 'prefix'): StoreError {
  const shown = key.length > 100 ? `${key.slice(0, 100)}…` : key;
  return new StoreError('invalid-key', {
    key: shown,
    message: `${JSON.stringify(shown)} is not a valid ${what}`,
    hint: `A ${what} has parts of letters, digits and ._@+=- divided by single slashes; no part starts with a dot or a dash.`,
  });
}
