import { PutObjectRetentionCommand, PutObjectTaggingCommand } from '@aws-sdk/client-s3';

import type { Bucket } from '../requests/bucket.ts';
import { retainUntilDate } from './object-settings.ts';
import type { StoredObject } from '../requests/stored-object.ts';

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
    const Retention = { Mode: objectLock.mode, RetainUntilDate: retainUntilDate(objectLock.retainUntil) };
    await bucket.request({ doing: 'locking', key, signal }, (send) =>
      bucket.clients.usual.send(new PutObjectRetentionCommand({ ...target, Retention }), send),
    );
  }
}
