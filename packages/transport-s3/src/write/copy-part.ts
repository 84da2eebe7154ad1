import { UploadPartCopyCommand } from '@aws-sdk/client-s3';

import { changed } from '../read/ranged-read.ts';
import type { Bucket } from '../requests/bucket.ts';
import { PATIENCE_MS } from '../requests/clients.ts';
import { failedWith, isTransient } from '../requests/errors.ts';
import { comparableEtag } from '../requests/etag.ts';
import { readFailure } from '../requests/service-failure.ts';
import { statUnlessDenied } from '../requests/stored-object.ts';
import type { MultipartUpload, StoredPart } from './multipart.ts';
import { S3_LIMITS } from './part-plan.ts';

const MIB = 1024 * 1024;

/** The object that is copied from: every part must come from exactly this one. */
export interface CopySource {
  /** Relative to the store's prefix. */
  readonly key: string;
  readonly etag: string;
  /** Bytes. */
  readonly size: number;
}

/** The bytes of a part that the service copies, from `from` up to, but not including, `to`. */
export interface CopiedRange {
  readonly source: CopySource;
  readonly from: number;
  readonly to: number;
}

/** Large enough to cost few requests, small enough for several at once and for an answer within some seconds. */
const USUAL_COPY_BYTES = 256 * MIB;

/** The service does not copy parts (or not for this user): the bytes have to pass through this machine. */
export class CopyRefused extends Error {
  override readonly name = 'CopyRefused';
}

/** Cuts a range into parts for copying, all about as large; in a very large object as large as other parts. */
export function copyRanges(source: CopySource, from: number, to: number, plannedPartBytes: number): readonly CopiedRange[] {
  const count = Math.ceil((to - from) / Math.max(USUAL_COPY_BYTES, plannedPartBytes));
  const edge = (index: number): number => from + Math.round(((to - from) * index) / count);
  return Array.from({ length: count }, (_, index) => ({ source, from: edge(index), to: edge(index + 1) }));
}

/**
 * The shortest range that is worth a copy: so few parts are smaller than planned that an object never runs out of them, although
 * a copy may cut the part before it short.
 */
export function minCopyBytes(plannedPartBytes: number): number {
  return 2 * Math.max(plannedPartBytes, S3_LIMITS.minPartBytes);
}

/**
 * Has the service copy a range of another object of the bucket as a part.
 *
 * @throws CopyRefused; StoreError `integrity` when the object was replaced meanwhile, `not-found` when it was removed
 */
export async function copyPart(
  bucket: Bucket,
  { key, uploadId }: MultipartUpload,
  number: number,
  { source, from, to }: CopiedRange,
  signal: AbortSignal,
): Promise<StoredPart> {
  const request = {
    doing: `copying ${source.key} into part ${number} of`,
    key,
    patienceMs: PATIENCE_MS,
    signal,
    isTransient: (error: unknown) => !isRefusal(error) && isTransient(error),
  };
  try {
    const { CopyPartResult } = await bucket.tryRequest(request, (send) =>
      bucket.clients.patient.send(
        new UploadPartCopyCommand({
          Bucket: bucket.address.bucket,
          Key: bucket.fullKey(key),
          UploadId: uploadId,
          PartNumber: number,
          CopySource: encodeURIComponent(`${bucket.address.bucket}/${bucket.fullKey(source.key)}`).replaceAll('%2F', '/'),
          CopySourceRange: `bytes=${from}-${to - 1}`,
          ...(source.etag === '' ? {} : { CopySourceIfMatch: source.etag.replace(/^W\//, '') }),
        }),
        send,
      ),
    );
    const etag = CopyPartResult?.ETag;
    // A service that does not know such requests takes this one for an empty part.
    if (etag === undefined || etag === '') throw new CopyRefused('the service sent no ETag for the copied part');
    const md5 = comparableEtag(etag);
    return { number, etag, md5: /^[\da-f]{32}$/.test(md5) ? Buffer.from(md5, 'hex') : undefined };
  } catch (error) {
    signal.throwIfAborted();
    if (failedWith(error, 412) && !(await isSame(bucket, source, signal)))
      throw changed(bucket, source.key, 'was replaced while it was copied');
    if (failedWith(error, 412) || isRefusal(error)) throw new CopyRefused('the service does not copy parts', { cause: error });
    throw error instanceof CopyRefused ? error : bucket.translate(error, request);
  }
}

/** Not implemented, not allowed, or an answer without a body, which the SDK takes for one that was cut off. */
function isRefusal(error: unknown): boolean {
  if (failedWith(error, 501, 405, 403, 'NotImplemented', 'MethodNotAllowed', 'AccessDenied')) return true;
  return readFailure(error).message === 'S3 aborted request';
}

/** OpenStack Swift refuses the condition for objects that were written in parts, whose ETag it knows by another name. */
async function isSame(bucket: Bucket, { key, etag }: CopySource, signal: AbortSignal): Promise<boolean> {
  const found = await statUnlessDenied(bucket, key, signal);
  return found !== undefined && found !== 'denied' && comparableEtag(found.etag) === comparableEtag(etag);
}
