import type { Bucket } from './bucket.ts';

/** The part of an answer that says what the service keeps. */
interface EtagAnswer {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}

/**
 * Whether the service has what was sent, as far as its ETag can tell: it is the MD5 of the bytes, except where they are encrypted
 * with a key of KMS ("Checking object integrity" in Amazon's guide) and where the address says that it means nothing.
 */
export function sameEtag(bucket: Bucket, answer: EtagAnswer, expected: string): boolean {
  const etag = bareEtag(answer.ETag);
  if (etag === '' || bucket.address.options.etag === 'opaque' || answer.ServerSideEncryption?.startsWith('aws:kms') === true) return true;
  return etag === expected;
}

/** An ETag without the quotation marks that some services forget. */
export function bareEtag(etag: string | undefined): string {
  return (etag ?? '').replaceAll('"', '');
}
