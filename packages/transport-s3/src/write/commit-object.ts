import { PutObjectCommand } from '@aws-sdk/client-s3';
import { StoreError } from '@gantry/transport';

import { ignore } from '../requests/abort.ts';
import { ensureSettings } from './ensure-settings.ts';
import { digestBody, rememberSha256 } from '../requests/body-digests.ts';
import type { Bucket } from '../requests/bucket.ts';
import type { CommitMark } from './commit-mark.ts';
import type { ConditionalSupport } from './conditional.ts';
import { confirmConditionalPut } from './conditional.ts';
import { failedWith } from '../requests/errors.ts';
import { assertEtag } from '../requests/etag.ts';
import type { MultipartUpload, StoredPart } from './multipart.ts';
import { completeUpload, multipartEtag } from './multipart.ts';
import { objectSettings } from './object-settings.ts';
import { statUnlessDenied } from '../requests/stored-object.ts';

/** How often an object that does not match what was sent is checked again. */
const MAX_CHECKS = 3;

/** The object to commit. */
export interface CommitRequest {
  readonly key: string;
  /** Identifies this write's object. */
  readonly writeId: string;
  readonly size: number;
  readonly createOnly: boolean;
  /** Cuts the requests. Their outcome is then unknown: the caller must check it. */
  readonly signal: AbortSignal;
}

/** Writes a small object in one request. @returns when it was written, by the service's clock */
export async function commitSmall(
  bucket: Bucket,
  request: CommitRequest,
  body: Buffer<ArrayBuffer>,
  support: ConditionalSupport,
): Promise<Date> {
  const { key, writeId, size, createOnly, signal } = request;
  const digests = await digestBody(body);
  rememberSha256(body, digests.sha256);
  const put = async (): Promise<void> => {
    await bucket.tryRequest({ doing: 'writing', key, signal, bytes: size }, async (send, attempt) => {
      const answer = await bucket.clients.usual.send(
        new PutObjectCommand({
          Bucket: bucket.address.bucket,
          Key: bucket.fullKey(key),
          Body: body,
          ContentMD5: digests.contentMd5,
          ...objectSettings(bucket.address.options, writeId, size),
          ...(createOnly ? { IfNoneMatch: '*' } : {}),
        }),
        send,
      );
      // Sent again, a create-only write would fail with "exists": it is checked below instead.
      if (!createOnly) assertEtag(bucket, key, answer, digests.md5, attempt);
    });
  };
  try {
    await put();
  } catch (error) {
    return await settle(bucket, request, digests.md5, error, 'writing');
  }
  if (createOnly) await confirmConditionalPut(bucket, key, support, put);
  return await verify(bucket, request, digests.md5);
}

/** Makes one object out of the parts. @returns when it was written, by the service's clock */
export async function commitParts(
  bucket: Bucket,
  request: CommitRequest,
  upload: MultipartUpload,
  parts: readonly StoredPart[],
  mark: CommitMark | undefined,
): Promise<Date> {
  const { createOnly, signal } = request;
  const etag = multipartEtag(parts);
  await mark?.set(signal);
  let isCompleted = false;
  try {
    if (mark !== undefined) await refuseExisting(bucket, request);
    try {
      await completeUpload(bucket, upload, parts, { conditional: createOnly && mark === undefined, signal });
    } catch (error) {
      return await settle(bucket, request, etag, error, 'completing');
    }
    isCompleted = true;
    return await verify(bucket, request, etag);
  } finally {
    // A mark that stays blocks nobody, and is listed and cleared with unfinished writes.
    await mark?.remove(isCompleted).catch(ignore);
  }
}

async function refuseExisting(bucket: Bucket, { key, signal }: CommitRequest): Promise<void> {
  const found = await statUnlessDenied(bucket, key, signal);
  if (found === 'denied') {
    throw new StoreError('denied', {
      key,
      message: `cannot check whether ${bucket.show(key)} exists: the service denies access`,
      hint: 'This service completes uploads unconditionally, so Gantry must check first: allow s3:GetObject and s3:ListBucket.',
    });
  }
  if (found !== undefined) throw alreadyExists(bucket, key);
}

/** The request failed, but may have taken effect: the answer was lost, or an earlier attempt had succeeded. */
async function settle(bucket: Bucket, request: CommitRequest, etag: string | undefined, error: unknown, doing: string): Promise<Date> {
  const { key, writeId, createOnly, signal } = request;
  signal.throwIfAborted();
  const found = await statUnlessDenied(bucket, key, signal);
  if (found !== undefined && found !== 'denied') {
    if (found.writeId === writeId) return await verify(bucket, request, etag);
    if (createOnly) throw alreadyExists(bucket, key, error);
  }
  if (createOnly && failedWith(error, 412)) throw alreadyExists(bucket, key, error);
  throw bucket.translate(error, { doing, key });
}

/** Checks that the service really stored the object. Repeats a check that fails before it reports damage. */
async function verify(bucket: Bucket, request: CommitRequest, etag: string | undefined): Promise<Date> {
  const { key, writeId, size, signal } = request;
  for (let attempt = 1; ; attempt++) {
    const found = await statUnlessDenied(bucket, key, signal);
    // Without the right to read, only the service's answer counts: it has verified the digests of everything that was sent.
    if (found === 'denied') return new Date();
    // Another writer has replaced it since, and verifies its own object.
    if (found?.writeId !== undefined && found.writeId !== writeId) return found.modified;
    try {
      if (found === undefined) throw notKept(bucket, key, 'it is not there');
      if (found.size !== size) throw notKept(bucket, key, `it has ${found.size} bytes, expected ${size}`);
      assertEtag(bucket, key, { ETag: found.etag, ServerSideEncryption: found.serverSideEncryption }, etag, attempt);
    } catch (error) {
      if (attempt > MAX_CHECKS) throw bucket.translate(error, { doing: 'verifying', key });
      continue;
    }
    await ensureSettings(bucket, key, found, signal);
    return found.modified;
  }
}

function notKept(bucket: Bucket, key: string, what: string): StoreError {
  return new StoreError('integrity', {
    key,
    message: `${bucket.show(key)} was written, but ${what}`,
    hint: 'Check whether another program or a lifecycle rule of the bucket removed it. If not, do not trust this service.',
  });
}

/** The error for a key that is already in use. */
export function alreadyExists(bucket: Bucket, key: string, cause?: unknown): StoreError {
  return new StoreError('exists', {
    key,
    message: `${bucket.show(key)} already exists`,
    hint: 'Remove it first, or choose another name.',
    cause: cause === undefined ? undefined : bucket.translate(cause, { doing: 'writing', key }),
  });
}
