import { pathToFileURL } from 'node:url';
import { resolve } from 'node:path';
import { GantryError } from '@gantry/core';

const SCHEME = /^([a-z][a-z0-9-]*):\/\//;

/**
 * Reads what the user named a store by: a URL, or else a path of this machine, relative to `cwd`.
 *
 * @throws GantryError `STORE_ADDRESS`
 */
export function parseStoreAddress(text: string, cwd: string): URL {
  if (text === '')
    throw new GantryError('STORE_ADDRESS', { message: 'the address of the store is empty', hint: 'Give a directory or a URL.' });
  if (!SCHEME.test(text)) return pathToFileURL(resolve(cwd, text));
  const url = URL.parse(text);
  if (url === null) {
    // Not shown: it could hold a password, in a place where nobody can tell.
    throw new GantryError('STORE_ADDRESS', {
      message: `the address of the store is not a valid URL (it starts with ${SCHEME.exec(text)?.[0] ?? ''})`,
      hint: 'Write special characters of it as %XX.',
    });
  }
  if (url.password !== '') {
    throw new GantryError('STORE_ADDRESS', {
      message: `the address of the ${url.protocol.slice(0, -1)} store on ${url.host} has a password in it`,
      hint: 'Passwords in addresses end up in logs and process lists: use the keys, agents or credential files of the transport.',
    });
  }
  return url;
}
