import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { GantryError } from '@gantry/core';

/** A URL scheme (RFC 3986, 3.1) with an authority behind it. */
const URL_START = /^([a-z][a-z0-9+.-]*):\/\//i;

/** `file:/path` is a URL too (RFC 8089, 2). */
const FILE_URL = /^file:\//i;

/** What stands before the first `:` of something that is not a URL, where no `/` comes before it. */
const COLON = /^([^/:]*):(.*)$/s;

/** A link-local address with its interface, `[fe80::1%eth0]` (RFC 4007). A URL cannot hold that, but as %XX it can. */
const ZONED_HOST = /^([a-z][a-z0-9-]*:\/\/(?:[^/?#@]*@)?)\[([0-9A-Fa-f:.]+)%(?:25)?([A-Za-z0-9._-]+)\]/;

/**
 * Reads how the user named a store or a peer: a URL, or else a path of this machine, relative to `cwd`. How other tools name places
 * (`host:directory`, `s3:bucket`, `-`) is refused: as a path, each would be a new local directory.
 *
 * @throws GantryError `STORE_ADDRESS`
 */
export function parseStoreAddress(text: string, cwd: string): URL {
  assertText(text);
  if (URL_START.test(text) || FILE_URL.test(text)) return parseUrl(text);
  const meant = whatIsMeant(text);
  if (meant === undefined) return pathToFileURL(resolve(cwd, text));
  throw new GantryError('STORE_ADDRESS', {
    message: `${JSON.stringify(text)} is neither a URL nor a plain path`,
    hint: `${meant} For a local directory of that name: ./${text}`,
  });
}

/** Scripts that build an address out of an unset variable, or of a line with its end, do not mean a directory of that name. */
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
    // Not shown: it could hold a password, in a place where nobody can tell.
    throw new GantryError('STORE_ADDRESS', {
      message: `the address of the store is not a valid URL (it starts with ${URL_START.exec(text)?.[0] ?? 'file:'})`,
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

/** The form in which Gantry takes what another tool names so; undefined for a plain path. */
function whatIsMeant(text: string): string | undefined {
  if (text === '-') return 'Gantry writes no export to standard output.';
  if (/^~[^/]*(\/|$)/.test(text)) return 'A shell expands ~ where it stands without quotation marks.';
  if (text.startsWith('\\\\')) return 'Mount the share, and name the directory where it is mounted.';
  const [, before, behind = ''] = COLON.exec(text) ?? [];
  if (before === undefined) return undefined;
  const scheme = before.toLowerCase();
  if (/^[a-z]$/.test(scheme)) return 'Gantry runs on Linux, where paths have no drive.';
  switch (scheme) {
    case 's3':
      return `For a bucket: s3://${behind === '' ? 'BUCKET/PREFIX' : behind.replace(/^\/+/, '')}`;
    case 'file':
      return `For a local directory: ${behind === '' ? '/DIRECTORY' : `./${behind}`}`;
    case 'ssh':
    case 'sftp':
    case 'scp':
      return `For a directory of another machine: ${sshForm(behind)}`;
    default:
      return OTHER_TOOLS.has(scheme) ? OTHER_FORMS : `For a directory of another machine: ${sshForm(text)}`;
  }
}

const OTHER_FORMS = 'Gantry takes directories, ssh://HOST/DIRECTORY and s3://BUCKET/PREFIX.';

/** Prefixes of restic, rclone, duplicity and others, which name no host. */
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

/** `[user@]host[:directory]` as a URL; a directory without a leading slash counts from the home, as scp has it. */
function sshForm(text: string): string {
  const [, host = text, directory = ''] = COLON.exec(text.replace(/^\/+/, '')) ?? [];
  if (host === '') return 'ssh://HOST/DIRECTORY';
  return `ssh://${host}/${directory.startsWith('/') ? directory.slice(1) : directory === '' ? 'DIRECTORY' : `~/${directory}`}`;
}
