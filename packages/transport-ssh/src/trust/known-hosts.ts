import { Buffer } from 'node:buffer';
import { createHash, createHmac, timingSafeEqual } from 'node:crypto';

/** One line of a known_hosts file (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). */
export interface KnownHost {
  readonly marker: 'revoked' | 'cert-authority' | undefined;
  /** Names and patterns separated by commas, or one hashed name. */
  readonly hosts: string;
  /** Such as `ssh-ed25519`. */
  readonly keyType: string;
  readonly key: Buffer;
  /** The file it is in. */
  readonly file: string;
  /** From 1. */
  readonly line: number;
}

/** The verdict of the known_hosts files on a host's key. */
export type HostKeyVerdict =
  /** The key is the host's. */
  | 'known'
  /** The host is unknown. */
  | 'unknown'
  /** The host is known only with other keys. */
  | 'changed'
  /** The key is marked as stolen. */
  | 'revoked'
  /** The host is known only by the authority that signs its certificates. */
  | 'authority';

const MARKERS: ReadonlyMap<string, NonNullable<KnownHost['marker']>> = new Map([
  ['@revoked', 'revoked'],
  ['@cert-authority', 'cert-authority'],
]);

const SALT_AND_HASH = /^\|1\|([A-Za-z0-9+/]+=*)\|([A-Za-z0-9+/]+=*)$/;

/** Parses a known_hosts file. Damaged lines, and lines of an unknown form, are skipped, as in ssh. */
export function parseKnownHosts(text: string, file = ''): readonly KnownHost[] {
  return text.split('\n').flatMap((line, index) => parseLine(line, { file, line: index + 1 }) ?? []);
}

function parseLine(line: string, at: Pick<KnownHost, 'file' | 'line'>): KnownHost | undefined {
  const fields = line.trim().split(/[ \t]+/);
  if (line.trimStart().startsWith('#')) return undefined;
  const marked = fields[0]?.startsWith('@') === true;
  const marker = marked ? MARKERS.get(fields[0] ?? '') : undefined;
  if (marked && marker === undefined) return undefined;
  const [hosts, keyType, encoded] = marked ? fields.slice(1) : fields;
  if (hosts === undefined || keyType === undefined || encoded === undefined) return undefined;
  const key = Buffer.from(encoded, 'base64');
  return keyTypeOf(key) === keyType ? { marker, hosts, keyType, key, ...at } : undefined;
}

/** The type that a public key contains (RFC 4253, section 6.6); undefined if it is not a key. */
export function keyTypeOf(key: Buffer): string | undefined {
  if (key.length < 4) return undefined;
  const length = key.readUInt32BE(0);
  return length > 0 && length <= key.length - 4 ? key.toString('latin1', 4, 4 + length) : undefined;
}

/** The name under which a host's key is stored: `host` on port 22, else `[host]:port`. */
export function knownHostName(host: string, port: number): string {
  const name = host.toLowerCase();
  return port === 22 ? name : `[${name}]:${port}`;
}

/** The verdict on `key` from the host that is stored under `name` (see {@link knownHostName}). */
export function judgeHostKey(known: readonly KnownHost[], name: string, key: Buffer): HostKeyVerdict {
  const ofHost = known.filter((line) => hostsMatch(line.hosts, name));
  const same = ofHost.filter((line) => line.key.equals(key));
  if (same.some(({ marker }) => marker === 'revoked')) return 'revoked';
  if (same.some(({ marker }) => marker === undefined)) return 'known';
  if (ofHost.some(({ marker }) => marker === undefined)) return 'changed';
  if (ofHost.some(({ marker }) => marker === 'cert-authority')) return 'authority';
  return 'unknown';
}

/** The types of a host's known keys, which should be requested first. */
export function knownKeyTypes(known: readonly KnownHost[], name: string): ReadonlySet<string> {
  return new Set(known.filter(({ marker, hosts }) => marker === undefined && hostsMatch(hosts, name)).map(({ keyType }) => keyType));
}

/** The line of the known key of a host that now has another one: of the same type, if there is one. */
export function knownLine(known: readonly KnownHost[], name: string, key: Buffer): KnownHost | undefined {
  const lines = known.filter(({ marker, hosts }) => marker === undefined && hostsMatch(hosts, name));
  return lines.find(({ keyType }) => keyType === keyTypeOf(key)) ?? lines[0];
}

/** The fingerprint in the form of ssh: `SHA256:` and the hash in base64 without padding. */
export function fingerprint(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replaceAll('=', '')}`;
}

function hostsMatch(hosts: string, name: string): boolean {
  const hashed = SALT_AND_HASH.exec(hosts);
  if (hashed !== null) return hashMatches(hashed[1] ?? '', hashed[2] ?? '', name);
  let matched = false;
  for (const pattern of hosts.toLowerCase().split(',')) {
    if (pattern.startsWith('!')) {
      // An excluded name excludes the line, in any position.
      if (patternMatches(pattern.slice(1), name)) return false;
    } else if (patternMatches(pattern, name)) matched = true;
  }
  return matched;
}

function hashMatches(salt: string, hash: string, name: string): boolean {
  const expected = Buffer.from(hash, 'base64');
  const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest();
  return expected.length === actual.length && timingSafeEqual(expected, actual);
}

/** `*` matches any characters, `?` one. It only backtracks to the last star, so time is bounded by the product of the lengths. */
function patternMatches(pattern: string, name: string): boolean {
  let at = 0;
  let star = -1;
  let resume = 0;
  let p = 0;
  while (at < name.length) {
    if (p < pattern.length && pattern[p] !== '*' && (pattern[p] === '?' || pattern[p] === name[at])) {
      p += 1;
      at += 1;
    } else if (pattern[p] === '*') {
      star = p;
      p += 1;
      resume = at;
    } else if (star >= 0) {
      resume += 1;
      at = resume;
      p = star + 1;
    } else return false;
  }
  while (pattern[p] === '*') p += 1;
  return p === pattern.length;
}
