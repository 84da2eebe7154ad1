import { StoreError } from '@gantry/transport';

import type { Bucket } from './bucket.ts';
import { damagedOnTheWay } from './errors.ts';
import type { S3Options } from '../address/options.ts';

/** The part of an answer that says what the service keeps. */
interface EtagAnswer {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}

/** How often an answer may have another ETag until it is no accident. */
const MAX_ACCIDENTS = 3;

/**
 * Refuses an answer whose ETag is not the one of what was sent: as damage on the way, to be sent again, or, when that has not helped, for
 * good.
 *
 * @throws StoreError `integrity`, or what {@link damagedOnTheWay} makes
 */
export function assertEtag(bucket: Bucket, key: string, answer: EtagAnswer, expected: string, attempt: number): void {
  if (sameEtag(bucket, answer, expected)) return;
  const message = `${bucket.show(key)} does not have the bytes that were sent: ETag mismatch: got ${bareEtag(answer.ETag)}, expected ${expected}`;
  if (attempt <= MAX_ACCIDENTS) throw damagedOnTheWay(message);
  throw new StoreError('integrity', {
    key,
    message,
    hint: 'If the ETags of this service are not MD5 sums, add etag=opaque to the address.',
  });
}

/**
 * Whether the service has what was sent, as far as its ETag can tell: it is the MD5 of the bytes, except where they are encrypted
 * with a key of KMS ("Checking object integrity" in Amazon's guide) and where the address says that it means nothing.
 */
function sameEtag(bucket: Bucket, answer: EtagAnswer, expected: string): boolean {
  const etag = comparableEtag(answer.ETag);
  if (etag === '' || bucket.address.options.etag === 'opaque' || answer.ServerSideEncryption?.startsWith('aws:kms') === true) return true;
  return etag === expected;
}

/** Whether, by what the address says, ETags will tell what the service has. */
export function etagTells({ etag, encryption }: S3Options): boolean {
  return etag === 'md5' && (encryption === undefined || encryption.algorithm === 'AES256');
}

/** An ETag as it is written, without the quotation marks that some services forget and the mark of a weak one that proxies add. */
export function bareEtag(etag: string | undefined): string {
  return (etag ?? '').replace(/^W\//, '').replaceAll('"', '');
}

/** An ETag for comparing: some services write the MD5 sum in capitals. */
export function comparableEtag(etag: string | undefined): string {
  const bare = bareEtag(etag);
  return /^[\da-f]{32}(-\d+)?$/i.test(bare) ? bare.toLowerCase() : bare;
}
