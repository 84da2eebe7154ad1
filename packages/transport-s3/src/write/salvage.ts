import type { ObjectInfo, UnfinishedOptions } from '@gantry/transport';
import { StoreError } from '@gantry/transport';

import { findUpload } from '../read/unfinished-listing.ts';
import { statUnlessDenied } from '../requests/stored-object.ts';
import type { S3Context } from '../s3-context.ts';
import { alreadyExists } from './commit-object.ts';
import { completeUpload, firstParts } from './multipart.ts';

/**
 * Makes one object out of the parts that another process has sent: see `StoreWriter.salvage`. What it was to be is not known here, so the
 * ETag shows nothing; the service has compared each part with its digest when it arrived.
 *
 * @throws StoreError `not-found`, `exists`, `integrity`
 */
export async function salvageUpload(
  { bucket, conditional }: S3Context,
  token: string,
  { keys, signal }: UnfinishedOptions,
): Promise<ObjectInfo | undefined> {
  const upload = await findUpload(bucket, token, { keys, signal });
  if (upload === undefined)
    throw new StoreError('not-found', {
      key: token,
      message: `there is no unfinished upload ${token}`,
      hint: 'It was completed or cleared.',
    });
  const { key } = upload;
  const { parts, size } = await firstParts(bucket, upload, signal);
  if (parts.length === 0) return undefined;
  const before = await statUnlessDenied(bucket, key, signal);
  if (before !== undefined && before !== 'denied') throw alreadyExists(bucket, key);
  try {
    // Where the service has no such condition, what was just looked at counts: the caller knows that there is no other writer.
    await completeUpload(bucket, upload, parts, { conditional: conditional.kind === 'full', signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw bucket.translate(error, { doing: 'completing', key });
  }
  const found = await statUnlessDenied(bucket, key, signal);
  if (found === 'denied') return { key, size, modified: new Date() };
  if (found?.size === size) return { key, size, modified: found.modified };
  throw new StoreError('integrity', {
    key,
    message: `${bucket.show(key)} was put together of ${size} bytes that were sent before, but it has ${found?.size ?? 0}`,
    hint: 'Do not trust this service before you know why.',
  });
}
