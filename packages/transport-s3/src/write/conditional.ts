import { DeleteObjectCommand, GetBucketVersioningCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import type { OpenOptions } from '@gantry/transport';
import { StoreError } from '@gantry/transport';

import { digestBody, rememberSha256 } from '../requests/body-digests.ts';
import type { Bucket } from '../requests/bucket.ts';
import { failedWith, mayPass } from '../requests/errors.ts';

/** Which requests of the service keep `If-None-Match: *`, and how that is known. */
export interface ConditionalSupport {
  /** `full`: PutObject and CompleteMultipartUpload; `put`: PutObject alone; `unknown`: the store was opened for reading, and did not ask. */
  readonly kind: 'full' | 'put' | 'none' | 'unknown';
  /** Whether it has been seen, or was said by the user or by Amazon's documentation. */
  confirmed: boolean;
}

/**
 * Finds out what the service can. Amazon's can all. Of any other, buckets with versions are not trusted: Ceph accepts the condition
 * there and writes another version. Where that is not known, sends a request that no service can accept: the condition, with a body
 * that is not the one of its Content-MD5. A service that has no conditions says so; any other complains about the body. So
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
        mayPass: (error) => mayPass(error) && !failedWith(error, 'BadDigest', 'InvalidDigest', 'XAmzContentSHA256Mismatch'),
      },
      (send) => bucket.clients.usual.send(new PutObjectCommand({ ...target, Body: body, ContentMD5: contentMd5, IfNoneMatch: '*' }), send),
    );
  } catch (error) {
    signal?.throwIfAborted();
    if (failedWith(error, 501, 'NotImplemented')) return false;
    if (mayPass(error) && !failedWith(error, 400)) throw bucket.translate(error, { doing: 'opening', key: '' });
    // Whatever else is wrong, such as a bucket that is not there, is reported by the first call that needs it.
    return true;
  }
  await bucket.request({ doing: 'removing', key: PROBE_KEY, signal }, (send) =>
    bucket.clients.usual.send(new DeleteObjectCommand(target), send),
  );
  return false;
}

/** Whether the bucket keeps versions; no where the service does not say. */
async function isVersioned(bucket: Bucket, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    const { Status } = await bucket.tryRequest({ doing: 'asking for versions of', key: '', signal }, (send) =>
      bucket.clients.usual.send(new GetBucketVersioningCommand({ Bucket: bucket.address.bucket }), send),
    );
    return Status !== undefined;
  } catch (error) {
    signal?.throwIfAborted();
    if (mayPass(error)) throw bucket.translate(error, { doing: 'opening', key: '' });
    return false;
  }
}

/**
 * Sends the first conditional write of a store again: now the key exists, and a service that keeps the condition must refuse. One
 * that does not has been told the same bytes twice, and no harm is done.
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
    message: `${bucket.show(key)}: the service takes the condition "only if it does not exist", and ignores it`,
    hint: 'Add conditionalWrites=none to the address: then Gantry looks before it writes, and two writers at the same moment are not told apart.',
  });
}
