import { randomBytes } from 'node:crypto';
import type { S3Server } from '@gantry/testkit';
import { createBucket } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { openS3Store } from '@gantry/transport-s3';

export interface TestBucket {
  readonly server: S3Server;
  readonly name: string;
  /** Opens a store in it; `options` as in an address. */
  open(options?: Readonly<Record<string, string>>, endpoint?: string): Promise<Store>;
  address(options?: Readonly<Record<string, string>>, endpoint?: string): URL;
}

/** A new bucket. */
export async function makeBucket(server: S3Server, prefix = 'exports/'): Promise<TestBucket> {
  const name = `bucket-${randomBytes(6).toString('hex')}`;
  await createBucket(server, name);
  const address = (options: Readonly<Record<string, string>> = {}, endpoint = server.endpoint): URL => {
    const parameters = new URLSearchParams({ endpoint, ...options });
    return new URL(`s3://${name}/${prefix}?${parameters.toString()}`);
  };
  return {
    server,
    name,
    address,
    open: (options, endpoint) => openWith(address(options, endpoint), server),
  };
}

/** Opens an address with a server's credentials. A warning of the store is an error here. */
export function openWith(address: URL, credentials: Pick<S3Server, 'accessKeyId' | 'secretAccessKey'>): Promise<Store> {
  return openS3Store(address, {
    cwd: '/',
    env: { AWS_ACCESS_KEY_ID: credentials.accessKeyId, AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey },
    warn: (message) => {
      throw new Error(`an unexpected warning: ${message}`);
    },
  });
}
