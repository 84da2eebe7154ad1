import { createHash } from 'node:crypto';

import type { CompletedPart, ListPartsCommandOutput, Part as ListedPart } from '@aws-sdk/client-s3';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  ListPartsCommand,
  UploadPartCommand,
} from '@aws-sdk/client-s3';
import { StoreError, isStoreError } from '@gantry/transport';

import { UNSIGNED_PAYLOAD, digestBody, rememberSha256 } from '../requests/body-digests.ts';
import type { Bucket } from '../requests/bucket.ts';
import { PATIENCE_MS } from '../requests/clients.ts';
import { damagedInTransit, failedWith } from '../requests/errors.ts';
import { assertEtag, etagsAreMd5 } from '../requests/etag.ts';
import { objectSettings } from './object-settings.ts';

/** One multipart upload in the service. */
export interface MultipartUpload {
  /** Relative to the store's prefix. */
  readonly key: string;
  readonly uploadId: string;
}

/** One part to send. */
interface Part {
  readonly number: number;
  readonly body: Buffer<ArrayBuffer>;
  /** Hexadecimal. */
  readonly md5: string;
}

/** One part that the service has stored. */
export interface StoredPart {
  readonly number: number;
  readonly etag: string;
  /** Undefined if the service copied the part and its ETag is not an MD5 sum. */
  readonly md5: Buffer | undefined;
}

/** The service no longer knows the upload: it was completed or aborted. */
const UPLOAD_GONE: readonly (string | number)[] = ['NoSuchUpload', 'NoSuchKey', 'NotFound', 404];

/** How often an upload is aborted if its parts do not go away. */
const MAX_ABORTS = 10;

/** Starts an upload. `onFailure` is called with each failed attempt: it may have left an upload behind whose id is unknown. */
export async function createUpload(
  bucket: Bucket,
  key: string,
  options: { readonly writeId: string; readonly onFailure: (error: unknown) => void },
): Promise<MultipartUpload> {
  const { uploadId } = await bucket.request({ doing: 'starting an upload of', key, onFailure: options.onFailure }, async (send) => {
    const { UploadId } = await bucket.clients.usual.send(
      new CreateMultipartUploadCommand({
        Bucket: bucket.address.bucket,
        Key: bucket.fullKey(key),
        ...objectSettings(bucket.address.options, options.writeId, Infinity),
      }),
      send,
    );
    if (UploadId === undefined || UploadId === '') throw damagedInTransit('the service started an upload but sent no id');
    return { uploadId: UploadId };
  });
  return { key, uploadId };
}

/**
 * Sends one part, and repeats it until the service has it undamaged. Its `Content-MD5` is signed, and the service's ETag shows what
 * arrived; only if the ETag means nothing, the SHA-256 is signed too.
 */
export async function sendPart(
  bucket: Bucket,
  { key, uploadId }: MultipartUpload,
  { number, body, md5 }: Part,
  signal: AbortSignal,
): Promise<StoredPart> {
  const digest = Buffer.from(md5, 'hex');
  rememberSha256(body, etagsAreMd5(bucket.address.options) ? UNSIGNED_PAYLOAD : (await digestBody(body)).sha256);
  const options = { doing: `sending part ${number} of`, key, signal, bytes: body.length };
  const etag = await bucket.request(options, async (send, attempt) => {
    const answer = await bucket.clients.usual.send(
      new UploadPartCommand({
        Bucket: bucket.address.bucket,
        Key: bucket.fullKey(key),
        UploadId: uploadId,
        PartNumber: number,
        Body: body,
        ContentMD5: digest.toString('base64'),
      }),
      send,
    );
    if (answer.ETag === undefined || answer.ETag === '') throw damagedInTransit('the service sent no ETag for the part');
    assertEtag(bucket, key, answer, md5, attempt);
    return answer.ETag;
  });
  return { number, etag, md5: digest };
}

/**
 * The ETag of the complete object if ETags are MD5 sums: the MD5 of the parts' MD5s, and the number of parts. Undefined if the MD5 of a
 * part is unknown.
 */
export function multipartEtag(parts: readonly StoredPart[]): string | undefined {
  const hash = createHash('md5');
  for (const { md5 } of parts) {
    if (md5 === undefined) return undefined;
    hash.update(md5);
  }
  return `${hash.digest('hex')}-${parts.length}`;
}

/** Asks the service to make one object out of the parts. Rejects with the error of the SDK. */
export async function completeUpload(
  bucket: Bucket,
  { key, uploadId }: MultipartUpload,
  parts: readonly StoredPart[],
  options: { readonly conditional: boolean; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const request = { doing: 'completing', key, patienceMs: PATIENCE_MS, signal: options.signal };
  await bucket.tryRequest(request, (send) =>
    bucket.clients.patient.send(
      new CompleteMultipartUploadCommand({
        Bucket: bucket.address.bucket,
        Key: bucket.fullKey(key),
        UploadId: uploadId,
        MultipartUpload: { Parts: parts.map(({ number, etag }): CompletedPart => ({ PartNumber: number, ETag: etag })) },
        ...(options.conditional ? { IfNoneMatch: '*' } : {}),
      }),
      send,
    ),
  );
}

/**
 * Aborts an upload so that nothing of it is left: a part that was in flight when the upload was aborted can stay behind ("Aborting a
 * multipart upload" in Amazon's guide), so this repeats until the service lists no part. Ignores an upload that does not exist.
 */
export async function endUpload(
  bucket: Bucket,
  upload: MultipartUpload,
  { signal, neverHadParts = false }: { readonly signal?: AbortSignal | undefined; readonly neverHadParts?: boolean } = {},
): Promise<void> {
  const { key, uploadId } = upload;
  const target = { Bucket: bucket.address.bucket, Key: bucket.fullKey(key), UploadId: uploadId };
  const request = { doing: 'aborting the upload of', key, signal };
  for (let round = 1; round <= MAX_ABORTS; round++) {
    try {
      await bucket.tryRequest(request, (send) => bucket.clients.usual.send(new AbortMultipartUploadCommand(target), send));
    } catch (error) {
      signal?.throwIfAborted();
      if (failedWith(error, ...UPLOAD_GONE)) return;
      throw bucket.translate(error, request);
    }
    if (neverHadParts || (await storedBytes(bucket, upload, signal)) === 0) return;
  }
  throw new StoreError('unavailable', {
    key,
    message: `cannot abort the upload of ${bucket.show(key)}: the service still has parts of it`,
    hint: 'Clear unfinished writes again later.',
  });
}

/** How many bytes of an upload the service has; 0 if the upload does not exist, or if we may not ask. */
export async function storedBytes(bucket: Bucket, upload: MultipartUpload, signal?: AbortSignal): Promise<number> {
  let total = 0;
  try {
    for await (const { Size } of listParts(bucket, upload, signal)) total += Size ?? 0;
  } catch (error) {
    if (!isStoreError(error, 'denied')) throw error;
  }
  return total;
}

/** The parts of an upload of another process that follow each other from the first, and their bytes. */
export async function firstParts(
  bucket: Bucket,
  upload: MultipartUpload,
  signal?: AbortSignal,
): Promise<{ readonly parts: readonly StoredPart[]; readonly size: number }> {
  const parts: StoredPart[] = [];
  let size = 0;
  for await (const { PartNumber, ETag, Size } of listParts(bucket, upload, signal)) {
    // They come in the order of their numbers. One that is missing was on its way.
    if (PartNumber !== parts.length + 1 || ETag === undefined || Size === undefined || Size === 0) break;
    parts.push({ number: PartNumber, etag: ETag, md5: undefined });
    size += Size;
  }
  return { parts, size };
}

async function* listParts(
  bucket: Bucket,
  upload: MultipartUpload,
  signal: AbortSignal | undefined,
): AsyncGenerator<ListedPart, void, undefined> {
  let marker: string | undefined;
  do {
    const page = await listPartsPage(bucket, upload, marker, signal);
    yield* page?.Parts ?? [];
    marker = page?.IsTruncated === true ? nextPart(bucket, upload, marker, page.NextPartNumberMarker) : undefined;
  } while (marker !== undefined);
}

/** Where the next page of parts starts: the listing must move forward, or it would never end. @throws StoreError `unsupported` */
function nextPart(bucket: Bucket, { key }: MultipartUpload, marker: string | undefined, next: string | undefined): string {
  if (next !== undefined && Number(next) > Number(marker ?? 0)) return next;
  throw new StoreError('unsupported', {
    key,
    message: `listing the parts of ${bucket.show(key)}: the service says that more follow, but not where`,
    hint: 'It must support ListParts with markers; ask its provider.',
  });
}

/** Whether the service still knows the upload. */
export async function isUploadAlive(bucket: Bucket, upload: MultipartUpload, signal?: AbortSignal): Promise<boolean> {
  return (await listPartsPage(bucket, upload, undefined, signal)) !== undefined;
}

async function listPartsPage(
  bucket: Bucket,
  { key, uploadId }: MultipartUpload,
  marker: string | undefined,
  signal: AbortSignal | undefined,
): Promise<ListPartsCommandOutput | undefined> {
  const options = { doing: 'listing the parts of', key, signal };
  try {
    return await bucket.tryRequest(options, (send) =>
      bucket.clients.usual.send(
        new ListPartsCommand({
          Bucket: bucket.address.bucket,
          Key: bucket.fullKey(key),
          UploadId: uploadId,
          ...(marker === undefined ? {} : { PartNumberMarker: marker }),
        }),
        send,
      ),
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, ...UPLOAD_GONE)) return undefined;
    throw bucket.translate(error, options);
  }
}
