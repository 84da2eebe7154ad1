import { PutObjectCommand } from '@aws-sdk/client-s3';
import { StoreError } from '@gantry/transport';

import { ignore } from '../requests/abort.ts';
import { assureSettings } from './assure-settings.ts';
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
import { lookIfAllowed } from '../requests/stored-object.ts';

/** How often an object that seems not to be what was sent is looked at. */
const MAX_LOOKS = 3;

/** What is to stand under a key. */
export interface CommitRequest {
  readonly key: string;
  /** Tells this write's object from any other. */
  readonly writeId: string;
  readonly size: number;
  readonly createOnly: boolean;
  /** Cuts the requests. Their outcome is then unknown: whoever fires it looks afterwards. */
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
      // Sending it again would say that it exists: it is looked at below instead.
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

/** Makes one object of the parts. @returns when it was written, by the service's clock */
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
  try {
    if (mark !== undefined) await refuseExisting(bucket, request);
    try {
      await completeUpload(bucket, upload, parts, { conditional: createOnly && mark === undefined, signal });
    } catch (error) {
      return await settle(bucket, request, etag, error, 'completing');
    }
    return await verify(bucket, request, etag);
  } finally {
    // One that stays is in nobody's way, and is listed and cleared with unfinished writes.
    await mark?.remove().catch(ignore);
  }
}

async function refuseExisting(bucket: Bucket, { key, signal }: CommitRequest): Promise<void> {
  const found = await lookIfAllowed(bucket, key, signal);
  if (found === 'denied') {
    throw new StoreError('denied', {
      key,
      message: `cannot see whether ${bucket.show(key)} exists: the service denies access`,
      hint: 'This service completes uploads without any condition, so Gantry must look first: allow s3:GetObject and s3:ListBucket.',
    });
  }
  if (found !== undefined) throw alreadyThere(bucket, key);
}

/** The request failed. It may have done its work all the same: an answer was lost, or an earlier attempt had succeeded. */
async function settle(bucket: Bucket, request: CommitRequest, etag: string, error: unknown, doing: string): Promise<Date> {
  const { key, writeId, createOnly, signal } = request;
  signal.throwIfAborted();
  const found = await lookIfAllowed(bucket, key, signal);
  if (found !== undefined && found !== 'denied') {
    if (found.writeId === writeId) return await verify(bucket, request, etag);
    if (createOnly) throw alreadyThere(bucket, key, error);
  }
  if (createOnly && failedWith(error, 412)) throw alreadyThere(bucket, key, error);
  throw bucket.translate(error, { doing, key });
}

/** Never trusts that the service kept what it said it would keep. An answer that seems wrong is asked for again before it is believed. */
async function verify(bucket: Bucket, request: CommitRequest, etag: string): Promise<Date> {
  const { key, writeId, size, signal } = request;
  for (let attempt = 1; ; attempt++) {
    const found = await lookIfAllowed(bucket, key, signal);
    // Who may not look has the service's word alone: it has verified the digests of all that was sent.
    if (found === 'denied') return new Date();
    // Another writer may have replaced it since: then it is that one's to verify.
    if (found?.writeId !== undefined && found.writeId !== writeId) return found.modified;
    try {
      if (found === undefined) throw notKept(bucket, key, 'it is not there');
      if (found.size !== size) throw notKept(bucket, key, `it has ${found.size} bytes, expected ${size}`);
      assertEtag(bucket, key, { ETag: found.etag, ServerSideEncryption: found.serverSideEncryption }, etag, attempt);
    } catch (error) {
      if (attempt > MAX_LOOKS) throw bucket.translate(error, { doing: 'verifying', key });
      continue;
    }
    await assureSettings(bucket, key, found, signal);
    return found.modified;
  }
}

function notKept(bucket: Bucket, key: string, what: string): StoreError {
  return new StoreError('integrity', {
    key,
    message: `${bucket.show(key)} was written, but ${what}`,
    hint: 'Did somebody remove it, or a rule of the bucket? If not, the service cannot be trusted.',
  });
}

/** What a writer is told whose key is taken. */
export function alreadyThere(bucket: Bucket, key: string, cause?: unknown): StoreError {
  return new StoreError('exists', {
    key,
    message: `${bucket.show(key)} exists already`,
    hint: 'Remove it first, or choose another name.',
    cause: cause === undefined ? undefined : bucket.translate(cause, { doing: 'writing', key }),
  });
}
