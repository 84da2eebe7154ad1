import { trimSlashes } from '@gantry/transport';
import { invalidAddress } from './invalid-address.ts';

/**
 * Parses the address of a service.
 *
 * @param source where the value comes from, for messages, such as `the option endpoint of the address`
 * @throws StoreError `invalid-address`: never repeats the value, which could contain a password
 */
export function parseEndpoint(value: string, source: string): URL {
  const url = URL.parse(value);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) {
    throw invalidAddress(`${source} is not an http:// or https:// URL`, 'Write, for example, https://s3.example.com:9000');
  }
  if (url.username !== '' || url.password !== '') {
    throw invalidAddress(`${source} contains a user or a password`, 'Credentials come from the environment or a profile.');
  }
  if (url.search !== '' || url.hash !== '') {
    throw invalidAddress(`${source} contains ? or #`, 'Add further options of the address after it with &.');
  }
  return url;
}

/**
 * Refuses an endpoint that ends in the bucket, as web consoles show it: the name of every object would start with the bucket's.
 *
 * @throws StoreError `invalid-address`
 */
export function refuseBucketIn(endpoint: URL, bucket: string, source: string): void {
  const path = trimSlashes(endpoint.pathname);
  if (!path.endsWith(`/${bucket}`)) return;
  throw invalidAddress(
    `${source} ends in the name of the bucket`,
    `Name the bucket only after s3://, and write endpoint=${endpoint.origin}${path.slice(0, -bucket.length - 1)}`,
  );
}
