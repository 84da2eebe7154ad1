import { PutObjectRetentionCommand, PutObjectTaggingCommand } from '@aws-sdk/client-s3';

import type { Bucket, SendOptions } from '../requests/bucket.ts';
import { failedWith } from '../requests/errors.ts';
import { retainUntilDate } from './object-settings.ts';
import type { StoredObject } from '../requests/stored-object.ts';
import { statUnlessDenied } from '../requests/stored-object.ts';
import type { S3Options } from '../address/options.ts';

/**
 * Sets the tags and the retention of the address, if the object does not have them. They were sent with its first request, but some
 * services (Ceph 16 for multipart uploads) silently ignore them there.
 *
 * @throws StoreError
 */
export async function ensureSettings(bucket: Bucket, key: string, found: StoredObject, signal: AbortSignal): Promise<void> {
  const { tags, objectLock } = bucket.address.options;
  const target = { Bucket: bucket.address.bucket, Key: bucket.fullKey(key) };
  if (found.tagCount < tags.size) {
    const TagSet = [...tags].map(([Key, Value]) => ({ Key, Value }));
    await bucket.request({ doing: 'tagging', key, signal }, (send) =>
      bucket.clients.usual.send(new PutObjectTaggingCommand({ ...target, Tagging: { TagSet } }), send),
    );
  }
  if (objectLock !== undefined && found.lockMode === undefined) {
    const until = retainUntilDate(objectLock.retainUntil);
    await bucket.request({ doing: 'locking', key, signal }, (send) => sendLock(bucket, { key, mode: objectLock.mode, until }, send));
  }
}

/** Locks an object as one that is written now, with one request. @throws StoreError */
export async function renewLock(
  bucket: Bucket,
  key: string,
  lock: NonNullable<S3Options['objectLock']>,
  signal?: AbortSignal,
): Promise<void> {
  const request = { doing: 'locking', key, signal };
  const until = retainUntilDate(lock.retainUntil);
  try {
    await bucket.tryRequest(request, (send) => sendLock(bucket, { key, mode: lock.mode, until }, send));
  } catch (error) {
    signal?.throwIfAborted();
    // No service makes a lock shorter: an earlier setting may have asked for more than this one.
    const found = failedWith(error, 400, 401, 403) ? await statUnlessDenied(bucket, key, signal) : 'denied';
    if (found !== undefined && found !== 'denied' && found.lockedUntil !== undefined && found.lockedUntil >= until) return;
    throw bucket.translate(error, request);
  }
}

async function sendLock(
  bucket: Bucket,
  { key, mode, until }: { readonly key: string; readonly mode: NonNullable<S3Options['objectLock']>['mode']; readonly until: Date },
  send: SendOptions,
): Promise<void> {
  const target = { Bucket: bucket.address.bucket, Key: bucket.fullKey(key) };
  await bucket.clients.usual.send(new PutObjectRetentionCommand({ ...target, Retention: { Mode: mode, RetainUntilDate: until } }), send);
}
