import { GetObjectLockConfigurationCommand, GetObjectRetentionCommand } from '@aws-sdk/client-s3';

import type { Bucket } from '../requests/bucket.ts';
import { failedWith } from '../requests/errors.ts';

/**
 * Whether objects in the bucket may be locked. Without a lock, or without Object Lock at all, services answer with different statuses; who
 * may not ask gets `true`.
 *
 * @throws StoreError; the reason of the signal
 */
export async function mayHaveLocks(bucket: Bucket, signal: AbortSignal | undefined): Promise<boolean> {
  const request = { doing: 'asking for the Object Lock configuration of', key: '', signal };
  try {
    const answer = await bucket.tryRequest(request, (send) =>
      bucket.clients.usual.send(new GetObjectLockConfigurationCommand({ Bucket: bucket.address.bucket }), send),
    );
    return answer.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled';
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 401, 403)) return true;
    if (failedWith(error, 400, 404, 405, 409, 501)) return false;
    throw bucket.translate(error, request);
  }
}

/**
 * Until when an object is locked; undefined if it has no lock, and `unknown` if this user may not ask, or the service cannot say.
 *
 * @throws StoreError; the reason of the signal
 */
export async function askLock(bucket: Bucket, key: string, signal: AbortSignal | undefined): Promise<Date | 'unknown' | undefined> {
  const request = { doing: 'asking for the lock of', key, signal };
  try {
    const answer = await bucket.tryRequest(request, (send) =>
      bucket.clients.usual.send(new GetObjectRetentionCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(key) }), send),
    );
    return answer.Retention?.RetainUntilDate;
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 401, 403, 405, 501)) return 'unknown';
    if (failedWith(error, 400, 404)) return undefined;
    throw bucket.translate(error, request);
  }
}
