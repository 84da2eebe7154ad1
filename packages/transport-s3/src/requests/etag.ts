import { StoreError } from '@gantry/transport';

import type { Bucket } from './bucket.ts';
import { damagedInTransit } from './errors.ts';
import type { S3Options } from '../address/options.ts';

/** The part of an answer that shows what the service stored. */
interface EtagAnswer {
  readonly ETag?: string | undefined;
  readonly ServerSideEncryption?: string | undefined;
}

/** After this number of attempts with a wrong ETag, it is not damage in transit. */
const MAX_DAMAGED_ATTEMPTS = 3;

/**
 * Refuses an answer whose ETag is not that of the bytes sent (where that is known): at first as damage in transit, to be sent again, and permanently if that
 * did not help.
 *
 * @throws StoreError `integrity`, or what {@link damagedInTransit} makes
 */
export function assertEtag(bucket: Bucket, key: string, answer: EtagAnswer, expected: string | undefined, attempt: number): void {
  if (expected === undefined || sameEtag(bucket, answer, expected)) return;
  const message = `${bucket.show(key)} does not have the bytes that were sent: ETag mismatch: got ${bareEtag(answer.ETag)}, expected ${expected}`;
  if (attempt <= MAX_DAMAGED_ATTEMPTS) throw damagedInTransit(message);
  throw new StoreError('integrity', {
    key,
    message,
    hint: 'If the ETags of this service are not MD5 sums, add etag=opaque to the address.',
  });
}

/**
 * Whether the service has what was sent, as far as its ETag shows: it is the MD5 of the bytes, unless they are encrypted
 * with a key of KMS ("Checking object integrity" in Amazon's guide) or the address says that it means nothing.
 */
function sameEtag(bucket: Bucket, answer: EtagAnswer, expected: string): boolean {
  const etag = comparableEtag(answer.ETag);
  if (etag === '' || bucket.address.options.etag === 'opaque' || answer.ServerSideEncryption?.startsWith('aws:kms') === true) return true;
  return etag === expected;
}

/** Whether ETags show what the service has, according to the address. */
export function etagsAreMd5({ etag, encryption }: S3Options): boolean {
  return etag === 'md5' && (encryption === undefined || encryption.algorithm === 'AES256');
}

/** An ETag without the quotation marks, which some services omit, and without the mark of a weak one, which proxies add. */
export function bareEtag(etag: string | undefined): string {
  return (etag ?? '').replace(/^W\//, '').replaceAll('"', '');
}

/** An ETag for comparing: some services write the MD5 sum in capitals. */
export function comparableEtag(etag: string | undefined): string {
  const bare = bareEtag(etag);
  return /^[\da-f]{32}(-\d+)?$/i.test(bare) ? bare.toLowerCase() : bare;
}
