import { IncomingMessage } from 'node:http';

import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { StoreError } from '@gantry/transport';

import { ignore } from '../requests/abort.ts';
import type { Bucket } from '../requests/bucket.ts';
import { drain } from './drain.ts';
import { failedWith } from '../requests/errors.ts';
import { comparableEtag } from '../requests/etag.ts';

/** The bytes from `from` up to, but not including, `to`. */
export interface ByteRange {
  readonly from: number;
  readonly to: number;
}

/** The object that is being read: every range must come from exactly this one. */
export interface ReadTarget {
  readonly bucket: Bucket;
  readonly key: string;
  readonly etag: string;
}

/** The answer to a ranged request. */
export interface OpenedRange {
  readonly body: IncomingMessage;
  readonly etag: string;
  readonly objectSize: number;
  /** How many bytes the body has. */
  readonly length: number;
}

/** Sends one ranged GET. Rejects with the error of the SDK, or with a {@link StoreError} if the service does not support ranges. */
export async function openRange(
  bucket: Bucket,
  key: string,
  range: ByteRange,
  options: { readonly abortSignal: AbortSignal; readonly etag?: string },
): Promise<OpenedRange> {
  const answer = await bucket.clients.usual.send(
    new GetObjectCommand({
      Bucket: bucket.address.bucket,
      Key: bucket.fullKey(key),
      Range: `bytes=${range.from}-${range.to - 1}`,
      ...(options.etag === undefined || options.etag === '' ? {} : { IfMatch: options.etag.replace(/^W\//, '') }),
    }),
    { abortSignal: options.abortSignal },
  );
  return readAnswer(bucket, key, range, answer);
}

/**
 * Fills `buffer` with a range. If the body breaks off, continues from the last byte that arrived.
 *
 * @param opened an answer to start with, if there is one already
 * @throws StoreError `integrity` when the object changed or went away meanwhile
 */
export async function fetchRange(
  { bucket, key, etag }: ReadTarget,
  range: ByteRange,
  buffer: Uint8Array,
  options: { readonly signal: AbortSignal; readonly opened?: OpenedRange | undefined },
): Promise<void> {
  let reached = range.from;
  let { opened } = options;
  const request = { doing: `reading bytes ${range.from} to ${range.to} of`, key, signal: options.signal, bytes: range.to - range.from };
  const copy = async (abortSignal: AbortSignal): Promise<void> => {
    const { body, etag: given } = opened ?? (await openRange(bucket, key, { from: reached, to: range.to }, { abortSignal, etag }));
    opened = undefined;
    // Not every service honors the condition.
    if (comparableEtag(given) !== comparableEtag(etag)) {
      body.destroy();
      throw changed(bucket, key, 'was replaced while it was read');
    }
    const cut = (): void => void body.destroy();
    abortSignal.addEventListener('abort', cut, { once: true });
    try {
      // Read to the end of the body, if the range ends there: otherwise the connection could not be used for the next request.
      await drain(body, (chunk) => {
        if (reached === range.to) body.destroy();
        const fitting = chunk.subarray(0, range.to - reached);
        buffer.set(fitting, reached - range.from);
        reached += fitting.length;
      });
    } finally {
      abortSignal.removeEventListener('abort', cut);
      body.destroy();
    }
    if (reached === range.to) return;
    throw Object.assign(new Error('the body broke off'), { code: 'ECONNRESET' });
  };
  let copying: Promise<void> = Promise.resolve();
  try {
    await bucket.tryRequest(request, async ({ abortSignal }) => {
      // An attempt that was cut because it was slow may still be copying a chunk.
      await copying.catch(ignore);
      copying = copy(abortSignal);
      await copying;
    });
  } catch (error) {
    options.signal.throwIfAborted();
    if (failedWith(error, 412)) throw changed(bucket, key, 'was replaced while it was read');
    if (failedWith(error, 'NoSuchKey', 404)) throw changed(bucket, key, 'was removed while it was read');
    throw bucket.translate(error, request);
  } finally {
    // After this, the caller may use the buffer for something else.
    await copying.catch(ignore);
  }
}

/** The error for an object that is not the one of before any more. @param what such as `was replaced while it was read` */
export function changed(bucket: Bucket, key: string, what: string): StoreError {
  return new StoreError('integrity', { key, message: `${bucket.show(key)} ${what}`, hint: 'Read it again from the start.' });
}

function readAnswer(bucket: Bucket, key: string, range: ByteRange, answer: GetObjectCommandOutput): OpenedRange {
  const { Body, ETag, ContentLength, ContentRange } = answer;
  if (!(Body instanceof IncomingMessage)) throw Object.assign(new Error('an answer without a body'), { name: 'ServiceUnavailable' });
  // A body that is dropped early must not become an unhandled error.
  Body.on('error', () => {});
  const partial = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(ContentRange ?? '');
  const objectSize = Number(partial?.[3] ?? ContentLength ?? Number.NaN);
  const from = Number(partial?.[1] ?? 0);
  const length = Math.min(range.to, objectSize) - from;
  // A part of an object of unknown size must not be taken for the complete object.
  const sizeUnknown = partial === null && (ContentRange !== undefined || answer.$metadata.httpStatusCode === 206);
  if (sizeUnknown || from !== range.from || Number.isNaN(objectSize) || (partial !== null && ContentLength !== length)) {
    Body.destroy();
    throw new StoreError('unsupported', {
      key,
      message: `reading ${bucket.show(key)}: the service sent other bytes than the requested ones from byte ${range.from} on`,
      hint: 'The service must support ranges (RFC 9110, section 14).',
    });
  }
  return { body: Body, etag: ETag ?? '', objectSize, length };
}
