import type { PendingInfo } from '@gantry/transport';

import type { Bucket } from '../requests/bucket.ts';
import { MARKS_PREFIX, readMark, removeMark } from '../write/commit-mark.ts';
import { isKey, listRaw } from './listing.ts';
import type { MultipartUpload } from '../write/multipart.ts';
import { endUpload, isUploadAlive, storedBytes } from '../write/multipart.ts';
import type { S3Write } from '../write/s3-write.ts';
import type { S3Context } from '../s3-context.ts';
import { uploadToken } from '../requests/token.ts';
import type { ListedUpload } from './uploads-listing.ts';
import { listUploads } from './uploads-listing.ts';

/** Which writes to list. */
interface Wanted {
  readonly prefix: string;
  /** Keys whose uploads are also listed one by one. */
  readonly keys?: readonly string[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Every unfinished write below a prefix: those that the service lists, and those of this store that the service does not know yet. */
export async function* listPending(
  context: S3Context,
  live: ReadonlySet<S3Write>,
  { prefix, keys, signal }: Wanted,
): AsyncGenerator<PendingInfo, void, undefined> {
  const { bucket } = context;
  const own = new Map([...live].map((write) => [write.uploadId, write]));
  for (const write of live) if (write.uploadId === undefined && write.key.startsWith(prefix)) yield ownInfo(write, 0);
  for await (const upload of findUploads(bucket, { prefix, keys, signal })) {
    if (!isKey(upload.key)) continue;
    const durableBytes = await storedBytes(bucket, upload, signal);
    const write = own.get(upload.uploadId);
    yield write === undefined
      ? {
          token: uploadToken(upload.key, upload.uploadId),
          key: upload.key,
          durableBytes,
          started: upload.started,
          owner: 'unknown',
          ownerText: upload.initiator === '' ? 'unknown: the service does not say' : `the service's user ${upload.initiator}`,
        }
      : ownInfo(write, durableBytes);
  }
  for await (const mark of staleMarks(context, prefix, signal)) yield mark.info;
}

/** Ends writes by their tokens. Ignores tokens of writes that do not exist. */
export async function clearPending(
  context: S3Context,
  live: ReadonlySet<S3Write>,
  tokens: ReadonlySet<string>,
  { keys, signal }: Omit<Wanted, 'prefix'>,
): Promise<void> {
  if (tokens.size === 0) return;
  const { bucket } = context;
  for (const write of live) if (tokens.has(write.token)) await write.discard();
  for await (const upload of findUploads(bucket, { prefix: '', keys, signal })) {
    if (tokens.has(uploadToken(upload.key, upload.uploadId))) await endUpload(bucket, upload, { signal });
  }
  for await (const mark of staleMarks(context, '', signal)) if (tokens.has(mark.info.token)) await removeMark(bucket, mark.name);
}

/** The upload with this token; undefined if the service does not list it. */
export async function findUpload(
  bucket: Bucket,
  token: string,
  { keys, signal }: Omit<Wanted, 'prefix'>,
): Promise<MultipartUpload | undefined> {
  for await (const upload of findUploads(bucket, { prefix: '', keys, signal }))
    if (uploadToken(upload.key, upload.uploadId) === token) return upload;
  return undefined;
}

/** MinIO and services like it list uploads only for a complete key: so the keys that the caller knows are listed one by one. */
async function* findUploads(bucket: Bucket, { prefix, keys = [], signal }: Wanted): AsyncGenerator<ListedUpload, void, undefined> {
  const seen = new Set<string>();
  for await (const upload of listUploads(bucket, prefix, signal)) {
    seen.add(upload.key);
    yield upload;
  }
  for (const key of new Set(keys)) {
    if (seen.has(key) || !key.startsWith(prefix)) continue;
    for await (const upload of listUploads(bucket, key, signal)) if (upload.key === key) yield upload;
  }
}

function ownInfo(write: S3Write, durableBytes: number): PendingInfo {
  return {
    token: write.token,
    key: write.key,
    durableBytes,
    started: write.started,
    owner: 'alive',
    ownerText: `process ${process.pid} of this machine`,
  };
}

interface StaleMark {
  readonly name: string;
  readonly info: PendingInfo;
}

/** Marks whose upload is gone: a process was killed after it completed the upload and before it removed the mark. */
async function* staleMarks(
  { bucket, conditional }: S3Context,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<StaleMark, void, undefined> {
  if (conditional.kind === 'full' || conditional.kind === 'none') return;
  for await (const object of listRaw(bucket, MARKS_PREFIX, signal)) {
    const mark = await readMark(bucket, object.key, signal);
    if (mark === undefined || !mark.key.startsWith(prefix) || (await isUploadAlive(bucket, mark, signal))) continue;
    yield {
      name: object.key,
      info: {
        token: uploadToken(mark.key, mark.uploadId),
        key: mark.key,
        durableBytes: 0,
        started: object.modified,
        owner: 'dead',
        ownerText: 'a writer that was killed just after it had completed the object',
      },
    };
  }
}
