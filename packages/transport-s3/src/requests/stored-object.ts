import { DeleteObjectCommand, HeadObjectCommand } from '@aws-sdk/client-s3';

import type { Bucket } from './bucket.ts';
import { failedWith } from './errors.ts';
import { WRITE_ID } from '../write/object-settings.ts';

/** What stands under a key. */
export interface StoredObject {
  readonly size: number;
  readonly modified: Date;
  readonly etag: string | undefined;
  readonly serverSideEncryption: string | undefined;
  readonly versionId: string | undefined;
  /** 0 where the service does not say, too. */
  readonly tagCount: number;
  /** Undefined where the service does not say, too. */
  readonly lockMode: string | undefined;
  /** Which write made it; undefined where it was not a store of this kind. */
  readonly writeId: string | undefined;
}

/**
 * Looks at what stands under a key; undefined when there is nothing. Rejects with what the SDK said.
 */
export async function look(bucket: Bucket, key: string, signal?: AbortSignal): Promise<StoredObject | undefined> {
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
      writeId: answer.Metadata?.[WRITE_ID],
    };
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 404)) return undefined;
    throw error;
  }
}

/** As {@link look}; `denied` for those who may write but not read, such as an exporter with the least rights. */
export async function lookIfAllowed(bucket: Bucket, key: string, signal?: AbortSignal): Promise<StoredObject | 'denied' | undefined> {
  try {
    return await look(bucket, key, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 401, 403)) return 'denied';
    throw bucket.translate(error, { doing: 'looking for', key });
  }
}

/** Removes what a write committed, if it did, and nothing that another write put there since. */
export async function removeOwnObject(bucket: Bucket, key: string, writeId: string): Promise<void> {
  const found = await lookIfAllowed(bucket, key);
  if (found === undefined || found === 'denied' || found.writeId !== writeId) return;
  // In a versioned bucket this very version goes, and the one before it stands again.
  const version = found.versionId === undefined || found.versionId === 'null' ? {} : { VersionId: found.versionId };
  await bucket.request({ doing: 'removing', key }, (send) =>
    bucket.clients.usual.send(new DeleteObjectCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(key), ...version }), send),
  );
}
