import { DeleteObjectCommand, DeleteObjectsCommand } from '@aws-sdk/client-s3';

import type { Bucket, SendOptions } from '../requests/bucket.ts';
import { failedWith } from '../requests/errors.ts';

/** How many keys one DeleteObjects accepts (Amazon S3 API reference). */
const MAX_BATCH_KEYS = 1000;
/** A thousand removals may keep a slow service silent for longer than usual. */
const BATCH_SILENCE_MS = 120_000;
/** Single removals in parallel, if a service does not support batches. */
const MAX_PARALLEL_REMOVALS = 16;

/** Removes objects, a thousand per request if the service supports it. Ignores objects that do not exist. */
export async function removeObjects(bucket: Bucket, keys: readonly string[], signal?: AbortSignal): Promise<void> {
  for (let from = 0; from < keys.length; from += MAX_BATCH_KEYS) {
    const batch = keys.slice(from, from + MAX_BATCH_KEYS);
    const first = batch[0];
    if (first === undefined) return;
    const left = batch.length === 1 ? batch : await removeBatch(bucket, batch, signal);
    await removeSingles(bucket, left, signal);
  }
}

/** @returns the keys that still have to be removed: those that failed, or all if the service does not support batches */
async function removeBatch(bucket: Bucket, keys: readonly string[], signal: AbortSignal | undefined): Promise<readonly string[]> {
  const request = { doing: `removing ${keys.length} objects in`, key: '', patienceMs: BATCH_SILENCE_MS, signal };
  try {
    const { Errors = [] } = await bucket.tryRequest(request, (send) => {
      const patient: SendOptions = { ...send, silenceMs: BATCH_SILENCE_MS };
      return bucket.clients.usual.send(
        new DeleteObjectsCommand({
          Bucket: bucket.address.bucket,
          Delete: { Objects: keys.map((key) => ({ Key: bucket.fullKey(key) })), Quiet: true },
        }),
        patient,
      );
    });
    const failed = new Set(Errors.map((error) => error.Key));
    // Removed one by one, each reports its own error.
    return keys.filter((key) => failed.has(bucket.fullKey(key)));
  } catch (error) {
    signal?.throwIfAborted();
    // A gateway of Ceph denies the batch to a user whose policy allows removing each object in it.
    if (failedWith(error, 'NotImplemented', 'MethodNotAllowed', 'MalformedXML', 'InvalidRequest', 400, 403, 405, 501)) return keys;
    throw bucket.translate(error, request);
  }
}

async function removeSingles(bucket: Bucket, keys: readonly string[], signal: AbortSignal | undefined): Promise<void> {
  const left = keys.values();
  const worker = async (): Promise<void> => {
    for (const key of left) await removeOne(bucket, key, signal);
  };
  await Promise.all(Array.from({ length: Math.min(MAX_PARALLEL_REMOVALS, keys.length) }, worker));
}

async function removeOne(bucket: Bucket, key: string, signal: AbortSignal | undefined): Promise<void> {
  const request = { doing: 'removing', key, signal };
  try {
    await bucket.tryRequest(request, (send) =>
      bucket.clients.usual.send(new DeleteObjectCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(key) }), send),
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (!failedWith(error, 'NoSuchKey')) throw bucket.translate(error, request);
  }
}
