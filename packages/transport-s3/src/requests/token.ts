import { createHash, randomBytes } from 'node:crypto';

/**
 * The token of a multipart upload: made of its key and id, so that every process finds the same one in the service's listing.
 * The id itself would not do: some services' have hundreds of characters, and a token must be safe as a part of a key.
 */
export function uploadToken(key: string, uploadId: string): string {
  return createHash('sha256').update(`${key}\0${uploadId}`).digest('hex').slice(0, 40);
}

/** A token, or the id of a write, that belongs to nothing else in the world. */
export function randomToken(): string {
  return randomBytes(20).toString('hex');
}
