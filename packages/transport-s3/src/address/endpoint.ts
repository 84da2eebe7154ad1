import { invalidAddress } from './invalid-address.ts';

/**
 * Reads where a service is.
 *
 * @param source what says it, for messages, such as `the option endpoint of the address`
 * @throws StoreError `invalid-address`, which never repeats the value: it could have a password in it
 */
export function parseEndpoint(value: string, source: string): URL {
  const url = URL.parse(value);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw invalidAddress(`${source} is not an http:// or https:// URL`, 'Such as https://s3.example.com:9000');
  }
  if (url.username !== '' || url.password !== '') {
    throw invalidAddress(`${source} has a user or a password in it`, 'Credentials come from the environment or from profiles.');
  }
  if (url.search !== '' || url.hash !== '') {
    throw invalidAddress(`${source} has a ? or # in it`, 'Write other options of the address with & after it.');
  }
  return url;
}

/**
 * Refuses an endpoint that ends in the bucket, as consoles show it: objects would get names that start with the bucket's.
 *
 * @throws StoreError `invalid-address`
 */
export function refuseBucketIn(endpoint: URL, bucket: string, source: string): void {
  const path = endpoint.pathname.replace(/\/+$/, '');
  if (!path.endsWith(`/${bucket}`)) return;
  throw invalidAddress(
    `${source} ends in the name of the bucket`,
    `The bucket stands behind s3:// alone: write endpoint=${endpoint.origin}${path.slice(0, -bucket.length - 1)}`,
  );
}
