import { DeleteObjectCommand, GetBucketVersioningCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { OpenOptions } from '@gantry/transport';
import { StoreError } from '@gantry/transport';

import { digestBody, rememberSha256 } from '../requests/body-digests.ts';
import type { Bucket } from '../requests/bucket.ts';
import { failedWith, isTransient } from '../requests/errors.ts';

/** Which requests of the service honor `If-None-Match: *`, and how that is known. */
export interface ConditionalSupport {
  /** `full`: PutObject and CompleteMultipartUpload; `put`: PutObject only; `unknown`: the store was opened for reading and did not ask. */
  readonly kind: 'full' | 'put' | 'none' | 'unknown';
  /** Whether it was observed, or the user or Amazon's documentation says it. */
  confirmed: boolean;
}

/**
 * Finds out what the service supports. Amazon's supports everything. With any other, versioned buckets are not trusted: Ceph accepts the
 * condition there and writes another version. To ask a service, sends a request that it must refuse: the condition, with a body
 * that does not match its Content-MD5. A service without conditions says so; any other complains about the body. So
 * nothing is created.
 *
 * @throws StoreError `unavailable`, or the reason of the signal
 */
export async function findConditionalSupport(
  bucket: Bucket,
  { access, signal }: Pick<OpenOptions, 'access' | 'signal'>,
): Promise<ConditionalSupport> {
  const { conditionalWrites } = bucket.address.options;
  if (conditionalWrites !== 'auto') return { kind: conditionalWrites, confirmed: true };
  if (await isAmazon(bucket)) return { kind: 'full', confirmed: true };
  if (access === 'read') return { kind: 'unknown', confirmed: true };
  const [accepted, versioned] = await Promise.all([acceptsCondition(bucket, signal), isVersioned(bucket, signal)]);
  const kind = accepted && !versioned ? 'put' : 'none';
  return { kind, confirmed: kind === 'none' };
}

const PROBE_KEY = '.gantry-probe';

async function isAmazon(bucket: Bucket): Promise<boolean> {
  const endpoint = await bucket.clients.usual.config.endpoint?.();
  return endpoint === undefined || /\.amazonaws\.com(\.cn)?$/.test(endpoint.hostname);
}

async function acceptsCondition(bucket: Bucket, signal: AbortSignal | undefined): Promise<boolean> {
  const target = { Bucket: bucket.address.bucket, Key: bucket.fullKey(PROBE_KEY) };
  const body = Buffer.from('sent');
  const { contentMd5 } = await digestBody(Buffer.from('not sent'));
  rememberSha256(body, (await digestBody(body)).sha256);
  try {
    await bucket.tryRequest(
      {
        doing: 'asking for conditional writes at',
        key: PROBE_KEY,
        signal,
        isTransient: (error) => isTransient(error) && !failedWith(error, 'BadDigest', 'InvalidDigest', 'XAmzContentSHA256Mismatch'),
      },
      (send) => bucket.clients.usual.send(new PutObjectCommand({ ...target, Body: body, ContentMD5: contentMd5, IfNoneMatch: '*' }), send),
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 501, 'NotImplemented')) return false;
    if (isTransient(error) && !failedWith(error, 400)) throw bucket.translate(error, { doing: 'opening', key: '' });
    // Any other problem, such as a missing bucket, is reported by the first call that it affects.
    return true;
  }
  await bucket.request({ doing: 'removing', key: PROBE_KEY, signal }, (send) =>
    bucket.clients.usual.send(new DeleteObjectCommand(target), send),
  );
  return false;
}

/** Whether the bucket keeps versions; false if the service does not say. */
async function isVersioned(bucket: Bucket, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const { Status } = await bucket.tryRequest({ doing: 'asking for versions of', key: '', signal }, (send) =>
      bucket.clients.usual.send(new GetBucketVersioningCommand({ Bucket: bucket.address.bucket }), send),
    );
    return Status !== undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (isTransient(error)) throw bucket.translate(error, { doing: 'opening', key: '' });
    return false;
  }
}

/**
 * Sends the first conditional write of a store again: now the key exists, and a service that honors the condition must refuse. One
 * that does not has written the same bytes twice, which does no harm.
 *
 * @throws StoreError `unsupported` when the service ignores the condition
 */
export async function confirmConditionalPut(
  bucket: Bucket,
  key: string,
  support: ConditionalSupport,
  put: () => Promise<void>,
): Promise<void> {
  if (support.confirmed) return;
  try {
    await put();
  } catch (error) {
    if (!failedWith(error, 412)) throw bucket.translate(error, { doing: 'writing', key });
    support.confirmed = true;
    return;
  }
  throw new StoreError('unsupported', {
    key,
    message: `cannot write ${bucket.show(key)} only if it does not exist: the service accepts that condition, but ignores it`,
    hint: 'Add conditionalWrites=none to the address: then Gantry checks before it writes, and does not notice two writers at the same moment.',
  });
}
