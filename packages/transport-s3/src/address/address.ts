import { assertPrefix } from '@gantry/transport';

import { invalidAddress } from './invalid-address.ts';
import type { S3Options } from './options.ts';
import { parseOptions } from './options.ts';

/** What an address says: where the store is and how it behaves. Contains no secret. */
export interface S3Address {
  readonly bucket: string;
  /** Empty, or ending in `/`. */
  readonly prefix: string;
  readonly options: S3Options;
  /** The address in its normal form. */
  readonly text: string;
}

/** The longest prefix, in characters: S3 allows 1024 bytes for a key, and a store's own keys have up to 768. */
const MAX_PREFIX_LENGTH = 240;

/** "General purpose bucket naming rules" of Amazon S3, plus the upper case and underscores of older buckets and other services. */
const BUCKET = /^[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]$/;

/**
 * Reads `s3://bucket/prefix?option=value&…`.
 *
 * @throws StoreError `invalid-address`: names the wrong part and never repeats what could be a secret
 */
export function parseAddress(url: URL): S3Address {
  if (url.username !== '' || url.password !== '') {
    throw invalidAddress(
      'an s3:// address must not contain a user or a password',
      'Credentials come from the environment, a profile or the role of the machine; addresses end up in logs.',
    );
  }
  const bucket = url.host;
  if (!BUCKET.test(bucket)) {
    throw invalidAddress(
      bucket === '' ? 'the s3:// address does not name a bucket' : `${JSON.stringify(bucket.slice(0, 80))} is not a valid bucket name`,
      'Write s3://BUCKET/PREFIX; say where the service runs with ?endpoint=https://HOST:PORT.',
    );
  }
  if (url.hash !== '') throw invalidAddress('an s3:// address cannot have a part after #', 'In the value of an option, write # as %23.');
  const prefix = parsePrefix(url.pathname);
  const options = parseOptions(url.searchParams);
  return { bucket, prefix, options, text: spell(bucket, prefix, url.searchParams) };
}

function parsePrefix(pathname: string): string {
  const path = pathname.replace(/^\//, '').replace(/\/$/, '');
  if (path === '') return '';
  const prefix = `${path}/`;
  try {
    assertPrefix(prefix);
  } catch {
    throw invalidAddress(
      `${JSON.stringify(path.slice(0, 100))} is not a valid prefix in a bucket`,
      'Use letters, digits and ._@+=- separated by single slashes; a part cannot start with a dot or a dash.',
    );
  }
  if (prefix.length > MAX_PREFIX_LENGTH)
    throw invalidAddress('the prefix of the s3:// address is too long', `Use at most ${MAX_PREFIX_LENGTH} characters.`);
  return prefix;
}

function spell(bucket: string, prefix: string, parameters: URLSearchParams): string {
  const sorted = new URLSearchParams([...parameters].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const query = sorted.toString();
  return `s3://${bucket}/${prefix}${query === '' ? '' : `?${query}`}`;
}
