import { createHash, randomBytes } from 'node:crypto';

/**
 * The token of a multipart upload: computed from its key and id, so that every process gets the same one from the service's listing.
 * The id itself cannot be used: with some services it has hundreds of characters, and a token must be safe as a part of a key.
 */
export function uploadToken(key: string, uploadId: string): string {
  return createHash('sha256').update(`${key}\0${uploadId}`).digest('hex').slice(0, 40);
}

/** A unique token, or unique id of a write. */
export function randomToken(): string {
  return randomBytes(20).toString('hex');
}
