import { createHash } from 'node:crypto';

import type { S3Client } from '@aws-sdk/client-s3';

/** The digests of one request's body. */
export interface BodyDigests {
  /** Base64, for `Content-MD5` (RFC 1864). */
  readonly contentMd5: string;
  /** Hexadecimal: the ETag of most services. */
  readonly md5: string;
  /** Hexadecimal, for `x-amz-content-sha256`, which the signature covers (Signature Version 4). */
  readonly sha256: string;
}

/** Both digests of a body, for {@link signWithDigests}. The SHA-256 is computed in Node's thread pool. */
export async function digestBody(body: Uint8Array<ArrayBuffer>): Promise<BodyDigests> {
  const sha256 = crypto.subtle.digest('SHA-256', body);
  const md5 = createHash('md5').update(body).digest();
  return { contentMd5: md5.toString('base64'), md5: md5.toString('hex'), sha256: Buffer.from(await sha256).toString('hex') };
}

/** Bodies whose SHA-256 is known, so that neither the signer nor the next attempt computes it again. */
const knownSha256 = new WeakMap<Uint8Array, string>();

/** Sent instead of the SHA-256 for bodies that only `Content-MD5` protects (Signature Version 4). */
export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD';

/** Requests with exactly this body object are signed with this digest. */
export function rememberSha256(body: Uint8Array, sha256: string): void {
  knownSha256.set(body, sha256);
}

/**
 * Makes a client's requests carry digests that services verify. The CRC32 that the SDK would add is ignored by many
 * services and refused by some; `Content-MD5` and the signed SHA-256 of the body are verified by every service we tried.
 */
export function signWithDigests(client: S3Client): void {
  client.middlewareStack.add(
    (next) => async (args) => {
      const { request } = args;
      if (isRequest(request)) {
        const sha256 = request.body instanceof Uint8Array ? knownSha256.get(request.body) : undefined;
        if (sha256 !== undefined) request.headers['x-amz-content-sha256'] = sha256;
      }
      return next(args);
    },
    { step: 'build', name: 'gantrySignedBodyDigest' },
  );
  client.middlewareStack.add(
    (next) => async (args) => {
      const { request } = args;
      if (isRequest(request) && typeof request.body === 'string') {
        // Documents, such as lists of keys: OpenStack Swift requires it, and the SDK computes only a CRC32.
        request.headers['content-md5'] = createHash('md5').update(request.body).digest('base64');
        for (const name of Object.keys(request.headers)) {
          if (/^x-amz-(sdk-)?checksum-/i.test(name)) delete request.headers[name];
        }
      }
      return next(args);
    },
    // After the SDK has added its checksum, and before the signature.
    { step: 'build', name: 'gantryContentMd5', priority: 'low' },
  );
}

interface MutableRequest {
  readonly body: unknown;
  readonly headers: Record<string, string>;
}

function isRequest(request: unknown): request is MutableRequest {
  return typeof request === 'object' && request !== null && 'headers' in request && 'body' in request;
}
