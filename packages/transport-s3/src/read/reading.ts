import type { ByteSource, ReadOptions } from '@gantry/transport';
import { StoreError, assertRange } from '@gantry/transport';

import { failedWith } from '../requests/errors.ts';
import { comparableEtag } from '../requests/etag.ts';
import { statObject } from '../requests/stored-object.ts';
import type { ByteRange, OpenedRange } from './ranged-read.ts';
import { changed, openRange } from './ranged-read.ts';
import { RANGE_BYTES, S3ByteSource } from './s3-byte-source.ts';
import type { S3Context } from '../s3-context.ts';

/**
 * Opens an object, or a range of it. The first request is for the first range: its answer has the size and the ETag too.
 *
 * @param options.etag of the object, if it must be a certain one
 * @throws StoreError `not-found`, `invalid-range`; `integrity` if it is another object
 */
export async function openSource(
  context: S3Context,
  key: string,
  options: ReadOptions & { readonly etag?: string | undefined },
): Promise<ByteSource> {
  const { offset = 0, length, signal, etag } = options;
  // The size is not known yet: checks only that these are whole numbers.
  assertRange(key, { offset, length: length ?? 0, objectSize: Infinity });
  const { bucket } = context;
  const wanted = { from: offset, to: offset + Math.min(RANGE_BYTES, length ?? RANGE_BYTES) };
  // An empty range cannot be requested.
  const first = length === 0 ? undefined : await openFirst(context, key, wanted, signal);
  const found = first ?? (await statForRead(context, key, signal));
  const range = { offset, length: length ?? Math.max(0, found.objectSize - offset), objectSize: found.objectSize };
  try {
    if (etag !== undefined && comparableEtag(found.etag) !== comparableEtag(etag)) throw changed(bucket, key, 'was replaced meanwhile');
    assertRange(key, range);
  } catch (error) {
    first?.body.destroy();
    throw error;
  }
  return new S3ByteSource(context, {
    target: { bucket, key, etag: found.etag },
    range: { from: offset, to: offset + range.length },
    objectSize: found.objectSize,
    first,
    signal,
  });
}

async function openFirst(
  context: S3Context,
  key: string,
  range: ByteRange,
  signal: AbortSignal | undefined,
): Promise<OpenedRange | undefined> {
  const { bucket } = context;
  const request = { doing: 'reading', key, signal, bytes: RANGE_BYTES };
  try {
    return await bucket.tryRequest(request, ({ abortSignal }) => openRange(bucket, key, range, { abortSignal }));
  } catch (error) {
    signal?.throwIfAborted();
    // The answer for an empty object too: its size decides whether the range is wrong.
    if (failedWith(error, 416)) return undefined;
    throw bucket.translate(error, request);
  }
}

/** The size and the ETag of an object. @throws StoreError `not-found` */
export async function statForRead(
  context: S3Context,
  key: string,
  signal: AbortSignal | undefined,
): Promise<{ objectSize: number; etag: string }> {
  const { bucket } = context;
  const request = { doing: 'reading', key, signal };
  try {
    const found = await statObject(bucket, key, signal);
    if (found !== undefined) return { objectSize: found.size, etag: found.etag ?? '' };
  } catch (error) {
    signal?.throwIfAborted();
    throw bucket.translate(error, request);
  }
  throw new StoreError('not-found', { key, message: `${bucket.show(key)} does not exist`, hint: 'Check the name.' });
}
