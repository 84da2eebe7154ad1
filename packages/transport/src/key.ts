import { StoreError } from './errors.ts';

/** Maximum length of a key in characters, which are ASCII and so bytes too: the limit of S3 minus 256 for a prefix. */
export const MAX_KEY_LENGTH = 768;

/** Maximum length of a part of a key between two `/`: `NAME_MAX` of Linux file systems minus space for a store's own suffixes. */
export const MAX_KEY_PART_LENGTH = 200;

const PART = /^[A-Za-z0-9_][A-Za-z0-9._@+=-]*$/;

/** Whether `part` is valid between two `/` of a key: letters, digits and `._@+=-`, starting with a letter, a digit or `_`. */
export function isKeyPart(part: string): boolean {
  return part.length <= MAX_KEY_PART_LENGTH && PART.test(part);
}

/**
 * Refuses a key that is not safe in every store: keys are relative, with parts separated by `/`.
 *
 * @throws StoreError `invalid-key`
 */
export function assertKey(key: string): void {
  if (key.length > MAX_KEY_LENGTH || !key.split('/').every(isKeyPart)) {
    throw invalidKey(key, 'key');
  }
}

/**
 * Refuses a prefix that {@link assertKey} would refuse as the start of a key. A prefix is empty (everything) or ends in `/`: listings go
 * by complete parts.
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
    hint: `A ${what} consists of letters, digits and ._@+=- in parts separated by single slashes; each part starts with a letter, a digit or _.`,
  });
}
