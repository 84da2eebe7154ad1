import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';

import { DeleteObjectCommand, GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { StoreError, isStoreError } from '@gantry/transport';

import { digestBody, rememberSha256 } from '../requests/body-digests.ts';
import type { Bucket } from '../requests/bucket.ts';
import { failedWith } from '../requests/errors.ts';
import { bareEtag } from '../requests/etag.ts';
import type { MultipartUpload } from './multipart.ts';
import { isUploadAlive } from './multipart.ts';

/** Where marks are, below the store's prefix: no key of a store starts with a dot. */
export const MARKS_PREFIX = '.gantry-commit/';

const MAX_MARK_BYTES = 4096;

/** How often to try to set a mark while other writers set and remove theirs. */
const MAX_ROUNDS = 20;

/** The content of a mark: which upload is about to be completed. */
export interface MarkContent extends MultipartUpload {
  readonly etag: string;
}

/**
 * Lets only one of several writers of a key complete its multipart upload, for services that honor conditions for PutObject but not for
 * CompleteMultipartUpload: a small object beside the data, which only one writer can create. It names its owner's upload, so the
 * mark of a killed writer does not block others for long: an upload that is gone cannot be completed, and its mark is replaced
 * (on the condition that it is still the same mark).
 */
export class CommitMark {
  readonly #bucket: Bucket;
  readonly #upload: MultipartUpload;

  constructor(bucket: Bucket, upload: MultipartUpload) {
    this.#bucket = bucket;
    this.#upload = upload;
  }

  /** @throws StoreError `exists` if another writer is completing the key, or was killed while it did and its upload was not cleared yet */
  async set(signal: AbortSignal): Promise<void> {
    for (let round = 1; round <= MAX_ROUNDS; round++) {
      if (await this.#put({ IfNoneMatch: '*' }, signal)) return;
      const holder = await readMark(this.#bucket, markKey(this.#upload.key), signal);
      if (holder === undefined) continue;
      if (holder.uploadId === this.#upload.uploadId) return;
      if (await isUploadAlive(this.#bucket, holder, signal)) break;
      // Ceph compares the ETag without quotation marks; others require them.
      if ((await this.#put({ IfMatch: holder.etag }, signal)) || (await this.#put({ IfMatch: `"${holder.etag}"` }, signal))) return;
    }
    const { key } = this.#upload;
    throw new StoreError('exists', {
      key,
      message: `cannot complete ${this.#bucket.show(key)}: another writer is completing it`,
      hint: 'If that writer was killed, clear its unfinished write and try again.',
    });
  }

  /**
   * Removes the mark, unless another writer took it over because our upload was gone: without its mark, a third could complete too.
   *
   * @param isCompleted whether the object exists now: then other writers are refused even without a mark
   */
  async remove(isCompleted: boolean): Promise<void> {
    if (isCompleted || (await this.#isOwn())) await removeMark(this.#bucket, markKey(this.#upload.key));
  }

  async #isOwn(): Promise<boolean> {
    try {
      const holder = await readMark(this.#bucket, markKey(this.#upload.key));
      return holder?.uploadId === this.#upload.uploadId;
    } catch (error) {
      if (!isStoreError(error, 'denied')) throw error;
      // We may not read it, but no writer takes over the mark of an upload that still exists.
      return isUploadAlive(this.#bucket, this.#upload);
    }
  }

  async #put(condition: { readonly IfNoneMatch: string } | { readonly IfMatch: string }, signal: AbortSignal): Promise<boolean> {
    const body = Buffer.from(JSON.stringify({ key: this.#upload.key, uploadId: this.#upload.uploadId }));
    const digests = await digestBody(body);
    rememberSha256(body, digests.sha256);
    const request = { doing: 'marking the completion of', key: this.#upload.key, signal };
    const target = { Bucket: this.#bucket.address.bucket, Key: this.#bucket.fullKey(markKey(this.#upload.key)) };
    try {
      await this.#bucket.tryRequest(request, (send) =>
        this.#bucket.clients.usual.send(
          new PutObjectCommand({ ...target, Body: body, ContentMD5: digests.contentMd5, ...condition }),
          send,
        ),
      );
      return true;
    } catch (error) {
      signal.throwIfAborted();
      if (failedWith(error, 412, 404)) return false;
      throw this.#bucket.translate(error, request);
    }
  }
}

/** The mark at the key `mark`, relative to the store's prefix; undefined if there is none, or another object. */
export async function readMark(bucket: Bucket, mark: string, signal?: AbortSignal): Promise<MarkContent | undefined> {
  const request = { doing: 'reading the mark', key: mark, signal };
  try {
    const answer = await bucket.tryRequest(request, async (send) => {
      const { Body, ETag } = await bucket.clients.usual.send(
        new GetObjectCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(mark), Range: `bytes=0-${MAX_MARK_BYTES - 1}` }),
        send,
      );
      return { text: await readStart(Body), etag: bareEtag(ETag) };
    });
    return parseMark(answer.text, answer.etag);
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 404, 416)) return undefined;
    throw bucket.translate(error, request);
  }
}

/** Reads at most as many bytes as a mark has, even if the service sends more. */
async function readStart(body: unknown): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (!(body instanceof Readable)) return '';
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue;
    chunks.push(chunk);
    bytes += chunk.length;
    if (bytes > MAX_MARK_BYTES) break;
  }
  return Buffer.concat(chunks).toString('utf8', 0, MAX_MARK_BYTES);
}

/** Removes a mark. Ignores one that does not exist. */
export async function removeMark(bucket: Bucket, mark: string): Promise<void> {
  await bucket.request({ doing: 'removing the mark', key: mark }, (send) =>
    bucket.clients.usual.send(new DeleteObjectCommand({ Bucket: bucket.address.bucket, Key: bucket.fullKey(mark) }), send),
  );
}

/** Where the mark of a key is. */
function markKey(key: string): string {
  return `${MARKS_PREFIX}${createHash('sha256').update(key).digest('hex')}`;
}

function parseMark(text: string, etag: string): MarkContent | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('key' in value) || !('uploadId' in value)) return undefined;
  const { key, uploadId } = value;
  return typeof key === 'string' && typeof uploadId === 'string' ? { key, uploadId, etag } : undefined;
}
