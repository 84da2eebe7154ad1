import { PutObjectRetentionCommand, PutObjectTaggingCommand } from '@aws-sdk/client-s3';

import type { Bucket } from '../requests/bucket.ts';
import { retainUntilDate } from './object-settings.ts';
import type { StoredObject } from '../requests/stored-object.ts';

/**
 * Sets tags and retention that the address asks for and the object does not show. They went with its first request, but some
 * services (Ceph 16 for multipart uploads) lose them there, and without a word.
 *
 * @throws StoreError
 */
export async function assureSettings(bucket: Bucket, key: string, found: StoredObject, signal: AbortSignal): Promise<void> {
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
