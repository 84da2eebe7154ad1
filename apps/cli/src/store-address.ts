import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GantryError } from '@gantry/core';

/** A URL scheme (RFC 3986, 3.1) followed by an authority. */
const URL_START = /^([a-z][a-z0-9+.-]*):\/\//i;

/** `file:/path` is a URL too (RFC 8089, 2). */
const FILE_URL = /^file:\//i;

/** The text before the first `:` of something that is not a URL, if no `/` comes before it. */
const COLON = /^([^/:]*):(.*)$/s;

/** A link-local address with its interface, `[fe80::1%eth0]` (RFC 4007). A URL can hold that only when escaped as %XX. */
const ZONED_HOST = /^([a-z][a-z0-9-]*:\/\/(?:[^/?#@]*@)?)\[([0-9A-Fa-f:.]+)%(?:25)?([A-Za-z0-9._-]+)\]/;

/**
 * Parses the user's name for a store or a peer: a URL, or a path on this machine, relative to `cwd`. The forms of other tools
 * (`host:directory`, `s3:bucket`, `-`) are refused: taken as paths, each would be a new local directory.
 *
 * @throws GantryError `STORE_ADDRESS`
 */
export function parseStoreAddress(text: string, cwd: string): URL {
  assertText(text);
  if (URL_START.test(text) || FILE_URL.test(text)) return parseUrl(text);
  const suggestion = suggestForm(text);
  if (suggestion === undefined) return pathToFileURL(resolve(cwd, text));
  throw new GantryError('STORE_ADDRESS', {
    message: `${JSON.stringify(text)} is neither a URL nor a plain path`,
    hint: `${suggestion} For a local directory of that name: ./${text}`,
  });
}

/** A script that builds an address from an unset variable, or from a line with its newline, does not mean a directory of that name. */
function assertText(text: string): void {
  if (text === '')
    throw new GantryError('STORE_ADDRESS', { message: 'the address of the store is empty', hint: 'Give a directory or a URL.' });
  if (text.trim() !== text || /[\p{Cc}\uFFFD]/u.test(text)) {
    throw new GantryError('STORE_ADDRESS', {
      message: `the address ${JSON.stringify(text)} has white space at an end, control characters, or bytes that are not UTF-8`,
      hint: 'Check the script or variable that it comes from.',
    });
  }
}

function parseUrl(text: string): URL {
  const url = URL.parse(
    text.replace(ZONED_HOST, (_, start: string, host: string, zone: string) => `${start}${encodeURIComponent(`${host}%${zone}`)}`),
  );
  if (url === null) {
    // Not shown: it could contain a password, and an invalid URL does not say where.
    throw new GantryError('STORE_ADDRESS', {
      message: `the address of the store is not a valid URL (it starts with ${URL_START.exec(text)?.[0] ?? 'file:'})`,
      hint: 'Escape special characters in it as %XX.',
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
