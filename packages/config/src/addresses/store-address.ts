import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GantryError } from '@gantry/core';
import { showValue } from '@gantry/core/documents';
import { trimSlashes } from '@gantry/transport';
import type { AddressKind } from './address.ts';
import { parseUrl } from './address.ts';

const STORE: AddressKind = { code: 'STORE_ADDRESS', what: 'store', hint: 'Give a directory or a URL.' };

/** The text before the first `:` of something that is not a URL, if no `/` comes before it. */
const COLON = /^([^/:]*):(.*)$/s;

/**
 * Parses the user's name for a store or a peer: a URL, or a path on this machine, relative to `cwd`. The forms of other tools
 * (`host:directory`, `s3:bucket`, `-`) are refused: taken as paths, each would be a new local directory.
 *
 * @throws GantryError `STORE_ADDRESS`
 */
export function parseStoreAddress(text: string, cwd: string): URL {
  const url = parseUrl(text, STORE);
  if (url !== undefined) return url;
  const suggestion = suggestForm(text);
  if (suggestion === undefined) return pathToFileURL(resolve(cwd, text));
  throw new GantryError('STORE_ADDRESS', {
    message: `${showValue(text)} is neither a URL nor a plain path`,
    hint: `${suggestion}${suggestion.endsWith('.') ? ' For' : '; for'} a local directory of that name: ./${text}`,
  });
}

/** Gantry's form of what another tool would name like this; undefined for a plain path. */
function suggestForm(text: string): string | undefined {
  if (text === '-') return 'Gantry writes no export to standard output.';
  if (/^~[^/]*(\/|$)/.test(text)) return 'The shell expands ~ only outside quotation marks.';
  if (text.startsWith('\\\\')) return 'Mount the share, and give the directory where it is mounted.';
  const [, before, behind = ''] = COLON.exec(text) ?? [];
  if (before === undefined) return undefined;
  const scheme = before.toLowerCase();
  if (/^[a-z]$/.test(scheme)) return 'Gantry runs on Linux, where paths have no drive letter.';
  switch (scheme) {
    case 's3':
      return `For a bucket: s3://${behind === '' ? 'BUCKET/PREFIX' : behind.replace(/^\/+/, '')}`;
    case 'file':
      return `For a local directory: ${behind === '' ? '/DIRECTORY' : `./${behind}`}`;
    case 'ssh':
    case 'sftp':
    case 'scp':
      return `For a directory on another machine: ${sshForm(behind)}`;
    default:
      return OTHER_TOOLS.has(scheme) ? OTHER_FORMS : `For a directory on another machine: ${sshForm(text)}`;
  }
}

const OTHER_FORMS = 'Gantry takes directories, ssh://HOST/DIRECTORY and s3://BUCKET/PREFIX.';

/** Prefixes of restic, rclone, duplicity and others that are not host names. */
const OTHER_TOOLS: ReadonlySet<string> = new Set([
  'azure',
  'b2',
  'dav',
  'davs',
  'ftp',
  'ftps',
  'gcs',
  'gs',
  'http',
  'https',
  'nfs',
  'rclone',
  'rest',
  'rsync',
  'smb',
  'swift',
  'webdav',
]);

/** `[user@]host[:directory]` as a URL; a directory without a leading slash is relative to the home directory, as in scp. */
function sshForm(text: string): string {
  const [, host = text, directory = ''] = COLON.exec(text.replace(/^\/+/, '')) ?? [];
  if (host === '') return 'ssh://HOST/DIRECTORY';
  return `ssh://${host}/${directory.startsWith('/') ? directory.slice(1) : directory === '' ? 'DIRECTORY' : `~/${directory}`}`;
}

/**
 * The same for addresses that are written differently, and mean one store. One that cannot be parsed fails when its store is opened.
 *
 * @param directory from which relative paths count
 */
export function comparableUrl(address: string, directory = '/'): string {
  try {
    return trimSlashes(parseStoreAddress(address, directory).href);
  } catch {
    return address;
  }
}
