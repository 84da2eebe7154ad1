import type { _Object as ListedObject, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { ListObjectsCommand, ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { ObjectInfo } from '@gantry/transport';
import { StoreError, assertKey, isStoreError } from '@gantry/transport';

import type { Bucket } from '../requests/bucket.ts';
import { decodeListedKey } from './listed-key.ts';

/** A service may send empty pages for removed objects, but not this many. */
const MAX_EMPTY_PAGES = 1000;

/** All objects below a prefix, page by page as needed, in the order of their keys' bytes. Skips names that are not valid keys. */
export async function* listObjects(bucket: Bucket, prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
  for await (const object of listRaw(bucket, prefix, signal)) if (isKey(object.key)) yield object;
}

/** Like {@link listObjects}, but includes names that are not valid keys. */
export async function* listRaw(bucket: Bucket, prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
  const order = new ListingOrder(bucket, prefix);
  let next: NextPage | undefined = {};
  while (next !== undefined) {
    const page: ListingPage = await fetchPage(bucket, prefix, next, signal);
    for (const object of page.Contents ?? []) {
      const name = decodeListedKey(object.Key, page.EncodingType, '');
      if (name === undefined) continue;
      order.assertNext(name);
      const info = toInfo(object, name, bucket.address.prefix);
      if (info !== undefined) yield info;
      signal?.throwIfAborted();
    }
    order.assertGoesOn(page);
    next = page.IsTruncated === true ? nextPage(page, order) : undefined;
  }
}

/** The answer to both versions of the request. */
type ListingPage = Pick<ListObjectsV2CommandOutput, 'Contents' | 'EncodingType' | 'IsTruncated' | 'Name' | 'NextContinuationToken'>;

/** Where a page starts: at the token of version 2, or after a key, as in version 1. */
type NextPage = { readonly token?: string } | { readonly marker: string };

/** Some services answer like version 1 of the request: without a token. Its marker is the last key. */
function nextPage({ NextContinuationToken: token }: ListingPage, order: ListingOrder): NextPage {
  return token === undefined ? { marker: order.lastName() } : { token };
}

async function fetchPage(bucket: Bucket, prefix: string, next: NextPage, signal: AbortSignal | undefined): Promise<ListingPage> {
  return bucket.request({ doing: 'listing', key: prefix, ofBucket: true, signal }, async (send) => {
    const common = { Bucket: bucket.address.bucket, Prefix: bucket.fullKey(prefix), EncodingType: 'url' } as const;
    const page: ListingPage =
      'marker' in next
        ? await bucket.clients.usual.send(new ListObjectsCommand({ ...common, Marker: next.marker }), send)
        : await bucket.clients.usual.send(
            new ListObjectsV2Command({ ...common, ...(next.token === undefined ? {} : { ContinuationToken: next.token }) }),
            send,
          );
    if (page.Name === undefined && page.IsTruncated === undefined) throw notAListing(bucket, prefix);
    return page;
  });
}

/** Checks that a listing is in order: one that repeats itself would never end, and one that was cut would look complete. */
class ListingOrder {
  readonly #bucket: Bucket;
  readonly #prefix: string;
  #last: Buffer | undefined;
  #token: string | undefined;
  #emptyPages = 0;

  constructor(bucket: Bucket, prefix: string) {
    this.#bucket = bucket;
    this.#prefix = prefix;
  }

  /** @throws StoreError `unsupported` when the name does not come after the one before it */
  assertNext(name: string): void {
    const bytes = Buffer.from(name);
    if (this.#last !== undefined && Buffer.compare(this.#last, bytes) >= 0) throw this.#wrong('repeats what it has listed');
    this.#last = bytes;
  }

  /** @throws StoreError `unsupported` when the page says that more follows, but not where */
  assertGoesOn({ Contents = [], IsTruncated, NextContinuationToken }: ListingPage): void {
    this.#emptyPages = Contents.length === 0 ? this.#emptyPages + 1 : 0;
    const repeats = NextContinuationToken !== undefined && NextContinuationToken === this.#token;
    this.#token = NextContinuationToken;
    if (IsTruncated === true && (repeats || this.#emptyPages > MAX_EMPTY_PAGES)) throw this.#wrong('says that more follows, but not where');
  }

  /** @throws StoreError `unsupported` if the listing was empty so far */
  lastName(): string {
    if (this.#last === undefined) throw this.#wrong('says that more follows, but not where');
    return this.#last.toString();
  }

  #wrong(what: string): StoreError {
    return new StoreError('unsupported', {
      key: this.#prefix,
      message: `listing ${this.#bucket.show(this.#prefix)}: the service ${what}`,
      hint: 'It must support ListObjectsV2 with continuation tokens, in the order of the keys; ask its provider.',
    });
  }
}

/** For an answer such as a web page: without this check it would look like an empty bucket. */
export function notAListing(bucket: Bucket, prefix: string): StoreError {
  return new StoreError('unsupported', {
    key: prefix,
    message: `listing ${bucket.show(prefix)}: the endpoint does not speak the S3 API`,
    hint: 'Check endpoint= in the address.',
  });
}

function toInfo(object: ListedObject, name: string, prefix: string): ObjectInfo | undefined {
  const key = name.startsWith(prefix) ? name.slice(prefix.length) : undefined;
  if (key === undefined || object.Size === undefined || object.LastModified === undefined) return undefined;
  // Some services give fractions of a second here, but not with the object: rounded, both times are the same.
  return { key, size: object.Size, modified: new Date(Math.floor(object.LastModified.getTime() / 1000) * 1000) };
}

/** Whether a name in the bucket is a valid key of a store. */
export function isKey(name: string): boolean {
  try {
    assertKey(name);
    return true;
  } catch (error) {
    if (isStoreError(error, 'invalid-key')) return false;
    throw error;
  }
}
