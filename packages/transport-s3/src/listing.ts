import type { _Object as ListedObject, ListObjectsV2CommandOutput } from '@aws-sdk/client-s3';
import { ListObjectsV2Command } from '@aws-sdk/client-s3';
import type { ObjectInfo } from '@gantry/transport';
import { StoreError, assertKey, isStoreError } from '@gantry/transport';

import type { Bucket } from './bucket.ts';
import { damagedOnTheWay } from './errors.ts';
import { decodeListedKey } from './listed-key.ts';

/** All objects below a prefix, page by page as they are asked for, in the order of their keys' bytes. Names that are no keys are left out. */
export async function* listObjects(bucket: Bucket, prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
  for await (const object of listRaw(bucket, prefix, signal)) if (isKey(object.key)) yield object;
}

/** As {@link listObjects}, with names that are no keys too. */
export async function* listRaw(bucket: Bucket, prefix: string, signal?: AbortSignal): AsyncGenerator<ObjectInfo, void, undefined> {
  let token: string | undefined;
  do {
    const page = await fetchPage(bucket, prefix, token, signal);
    for (const object of page.Contents ?? []) {
      const info = toInfo(object, page.EncodingType, bucket.address.prefix);
      if (info !== undefined) yield info;
      signal?.throwIfAborted();
    }
    token = page.IsTruncated === true ? page.NextContinuationToken : undefined;
  } while (token !== undefined);
}

async function fetchPage(
  bucket: Bucket,
  prefix: string,
  token: string | undefined,
  signal: AbortSignal | undefined,
): Promise<ListObjectsV2CommandOutput> {
  return bucket.request({ doing: 'listing', key: prefix, signal }, async (send) => {
    const page = await bucket.clients.usual.send(
      new ListObjectsV2Command({
        Bucket: bucket.address.bucket,
        Prefix: bucket.fullKey(prefix),
        EncodingType: 'url',
        ...(token === undefined ? {} : { ContinuationToken: token }),
      }),
      send,
    );
    if (page.Name === undefined && page.IsTruncated === undefined) throw noListing(bucket, prefix);
    // Otherwise a listing that was cut, or a service that goes in circles, would look like a complete one, or never end.
    if (page.IsTruncated === true && (page.NextContinuationToken ?? token) === token) throw damagedOnTheWay('the listing does not go on');
    return page;
  });
}

/** A page of the web, say: without this it would look like an empty bucket. */
export function noListing(bucket: Bucket, prefix: string): StoreError {
  return new StoreError('unsupported', {
    key: prefix,
    message: `listing ${bucket.show(prefix)}: what answers there does not speak the S3 API`,
    hint: 'Check endpoint= in the address.',
  });
}

function toInfo(object: ListedObject, encoding: string | undefined, prefix: string): ObjectInfo | undefined {
  const key = decodeListedKey(object.Key, encoding, prefix);
  if (key === undefined || object.Size === undefined || object.LastModified === undefined) return undefined;
  // Some services tell fractions of a second here, but not with the object: the same object has the same time everywhere.
  return { key, size: object.Size, modified: new Date(Math.floor(object.LastModified.getTime() / 1000) * 1000) };
}

/** Whether a name in the bucket is a key of a store. */
export function isKey(name: string): boolean {
  try {
    assertKey(name);
    return true;
  } catch (error) {
    if (isStoreError(error, 'invalid-key')) return false;
    throw error;
  }
}
