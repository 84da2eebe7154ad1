import { DeleteObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';

import type { Bucket } from './bucket.ts';
import { failedWith } from './errors.ts';
import { WRITE_ID } from '../write/object-settings.ts';

/** The object at a key. */
export interface StoredObject {
  readonly size: number;
  readonly modified: Date;
  readonly etag: string | undefined;
  readonly serverSideEncryption: string | undefined;
  readonly versionId: string | undefined;
  /** Also 0 if the service does not say. */
  readonly tagCount: number;
  /** Also undefined if the service does not say. */
  readonly lockMode: string | undefined;
  /** Until when no version of it can be removed; undefined also if the service does not say. */
  readonly lockedUntil: Date | undefined;
  /** Which write made it; undefined if it was not a store of this kind. */
  readonly writeId: string | undefined;
}

/** The object at a key; undefined if there is none. Rejects with the error of the SDK. */
export async function statObject(bucket: Bucket, key: string, signal?: AbortSignal): Promise<StoredObject | undefined> {
  try {
    const answer = await bucket.tryRequest({ doing: 'looking for', key, signal }, (send) =>
      bucket.clients.usual.send(new HeadObjectCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(key) }), send),
    );
    return {
      size: answer.ContentLength ?? 0,
      modified: answer.LastModified ?? new Date(0),
      etag: answer.ETag,
      serverSideEncryption: answer.ServerSideEncryption,
      versionId: answer.VersionId,
      tagCount: answer.TagCount ?? 0,
      lockMode: answer.ObjectLockMode,
      lockedUntil: answer.ObjectLockRetainUntilDate,
      writeId: answer.Metadata?.[WRITE_ID],
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 404)) return undefined;
    throw error;
  }
}

/** Like {@link statObject}; `denied` for a user who may write but not read, such as an exporter with minimal rights. */
export async function statUnlessDenied(bucket: Bucket, key: string, signal?: AbortSignal): Promise<StoredObject | 'denied' | undefined> {
  try {
    return await statObject(bucket, key, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 401, 403)) return 'denied';
    throw bucket.translate(error, { doing: 'looking for', key });
  }
}

/** Removes the object that a write committed, if any, and never one that another write put there since. */
export async function removeOwnObject(bucket: Bucket, key: string, writeId: string): Promise<void> {
  const found = await statUnlessDenied(bucket, key);
  if (found === undefined || found === 'denied' || found.writeId !== writeId) return;
  // In a versioned bucket exactly this version goes, and the one before it is the current one again.
  const version = found.versionId === undefined || found.versionId === 'null' ? {} : { VersionId: found.versionId };
  await bucket.request({ doing: 'removing', key }, (send) =>
    bucket.clients.usual.send(new DeleteObjectCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(key), ...version }), send),
  );
}
