import type { GantryErrorCode } from '@gantry/core';
import { GantryError } from '@gantry/core';
import { showValue } from '@gantry/core/documents';

/** What an address names, for messages. */
export interface AddressKind {
  readonly code: GantryErrorCode;
  /** `store`, `instance` */
  readonly what: string;
  /** A sentence that says what to type. */
  readonly hint: string;
}

/** A URL scheme (RFC 3986, 3.1) with an authority behind it, or `file:/path`, which is a URL too (RFC 8089, 2). */
const URL_START = /^(?:[a-z][a-z0-9+.-]*:\/\/|file:\/)/i;

/** A link-local address with its interface, `[fe80::1%eth0]` (RFC 4007). A URL can hold that only when escaped as %XX. */
const ZONED_HOST = /^([a-z][a-z0-9-]*:\/\/(?:[^/?#@]*@)?)\[([0-9A-Fa-f:.]+)%(?:25)?([A-Za-z0-9._-]+)\]/;

/**
 * Parses a URL; undefined for anything else. A script that builds an address from an unset variable, or from a line with its newline,
 * does not mean a directory of that name: that is refused.
 *
 * @throws GantryError with the code of `kind`
 */
export function parseUrl(text: string, kind: AddressKind): URL | undefined {
  assertText(text, kind);
  const [start] = URL_START.exec(text) ?? [];
  return start === undefined ? undefined : parseWithAuthority(text, start, kind);
}

function assertText(text: string, { code, what, hint }: AddressKind): void {
  if (text === '') throw new GantryError(code, { message: `the address of the ${what} is empty`, hint });
  if (text.trim() !== text || /[\p{Cc}\uFFFD]/u.test(text)) {
    throw new GantryError(code, {
      message: `the address ${showValue(text)} has white space at an end, control characters, or bytes that are not UTF-8`,
      hint: 'Check the script or variable that it comes from.',
    });
  }
}

function parseWithAuthority(text: string, start: string, { code, what }: AddressKind): URL {
  const url = URL.parse(
    text.replace(ZONED_HOST, (_, before: string, host: string, zone: string) => `${before}${encodeURIComponent(`${host}%${zone}`)}`),
  );
  if (url === null) {
    // Not shown: it could contain a password, and an invalid URL does not say where.
    throw new GantryError(code, {
      message: `the address of the ${what} is not a valid URL (it starts with ${start})`,
      hint: 'Escape special characters in it as %XX.',
    });
  }
  if (url.password !== '') {
    throw new GantryError(code, {
      message: `the address of the ${url.protocol.slice(0, -1)} ${what} on ${url.host} has a password in it`,
      hint: 'Passwords in addresses end up in logs and process lists: use keys, agents or credential files instead.',
    });
  }
  return url;
}

/** What {@link parseUrl} makes of a {@link ZONED_HOST}. Other hosts may have escaped characters, too, which stay so. */
const ESCAPED_ZONED_HOST = /^[0-9A-F.]*(?:%3A[0-9A-F.]*)+%25[A-Za-z0-9._-]+$/i;

/** A URL as messages show it: with the interface of an IPv6 address as users write it, `[fe80::1%eth0]`. */
export function showUrl({ href, hostname }: URL): string {
  return ESCAPED_ZONED_HOST.test(hostname) ? href.replace(hostname, () => `[${decodeURIComponent(hostname)}]`) : href;
}
