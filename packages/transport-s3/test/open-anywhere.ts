import type { Store } from '@gantry/transport';
import { openS3Store } from '@gantry/transport-s3';

/** Credentials for servers that do not check them. */
export const KEYS = { AWS_ACCESS_KEY_ID: 'a', AWS_SECRET_ACCESS_KEY: 'b' } as const;

/** Opens `s3://backups/exports` at an endpoint, with an environment of its own. Ignores the warnings of the store. */
export function openAt(
  endpoint: string | undefined,
  options: Readonly<Record<string, string>> = {},
  env: Readonly<Record<string, string | undefined>> = KEYS,
): Promise<Store> {
  const query = new URLSearchParams({ retrySeconds: '1', ...(endpoint === undefined ? {} : { endpoint }), ...options });
  return openS3Store(new URL(`s3://backups/exports?${query.toString()}`), { cwd: '/', env, warn: () => undefined });
}

/** The error of opening a store and listing it. */
export async function failureOfListing(open: () => Promise<Store>): Promise<unknown> {
  try {
    await using store = await open();
    await Array.fromAsync(store.list(''));
  } catch (error) {
    return error;
  }
  throw new Error('it did not fail');
}
