/**
 * A key of a listing, without the store's prefix; undefined for a name that cannot be a key of this store. Listings are requested
 * with URL encoding, because XML cannot contain every possible key of a bucket ("ListObjectsV2" in the Amazon S3 API reference).
 */
export function decodeListedKey(listed: string | undefined, encoding: string | undefined, prefix: string): string | undefined {
  if (listed === undefined) return undefined;
  const full = encoding === 'url' ? decode(listed) : listed;
  return full?.startsWith(prefix) === true ? full.slice(prefix.length) : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll('+', '%20'));
  } catch {
    return undefined;
  }
}
