import { createHash, createHmac } from 'node:crypto';
import type { S3Server } from './s3-server.ts';

export interface S3Answer {
  readonly status: number;
  readonly body: string;
  /** Names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
}

export interface S3RequestOptions {
  readonly method?: string;
  readonly body?: string;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** Both servers of the test kit accept it. */
const REGION = 'us-east-1';

/**
 * Sends a signed request without Gantry or its SDK: for making buckets, setting policies, and checking the real state. `path` is such as
 * `/bucket?uploads=`: with every `=`, sorted, as it is signed.
 */
export async function s3Request(server: S3Server, path: string, options: S3RequestOptions = {}): Promise<S3Answer> {
  const { method = 'GET', body = '' } = options;
  const date = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const headers = sign(server, { method, path, date, bodySha256: sha256(body), headers: options.headers ?? {} });
  const response = await fetch(`${server.endpoint}${path}`, { method, headers, ...(body === '' ? {} : { body }) });
  return { status: response.status, body: await response.text(), headers: Object.fromEntries(response.headers) };
}

/** Makes a bucket, optionally with object lock and so with versions. @throws if the server refuses */
export async function createBucket(server: S3Server, name: string, options: { readonly objectLock?: boolean } = {}): Promise<void> {
  const headers: Record<string, string> = options.objectLock === true ? { 'x-amz-bucket-object-lock-enabled': 'true' } : {};
  const { status, body } = await s3Request(server, `/${name}`, { method: 'PUT', headers });
  if (status !== 200) throw new Error(`cannot make the bucket ${name}: ${status} ${body}`);
}

/** The keys of all unfinished multipart uploads of a bucket, as the server lists them. */
export async function listUnfinishedUploads(server: S3Server, bucket: string): Promise<readonly string[]> {
  const { status, body } = await s3Request(server, `/${bucket}?uploads=`);
  if (status !== 200) throw new Error(`cannot list the uploads of ${bucket}: ${status} ${body}`);
  return [...body.matchAll(/<Upload>.*?<Key>(.*?)<\/Key>.*?<\/Upload>/gs)].map((match) => match[1] ?? '');
}

interface Signed {
  readonly method: string;
  readonly path: string;
  /** Such as `20261123T081500Z`. */
  readonly date: string;
  readonly bodySha256: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** Signature Version 4 ("Signature calculations for the Authorization header" in the Amazon S3 API reference). */
function sign(server: S3Server, { method, path, date, bodySha256, headers }: Signed): Record<string, string> {
  const [plainPath = '/', query = ''] = path.split('?');
  const sent = { ...headers, 'x-amz-content-sha256': bodySha256, 'x-amz-date': date };
  const signed = Object.entries({ ...sent, host: new URL(server.endpoint).host }).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const names = signed.map(([name]) => name).join(';');
  const lines = signed.map(([name, value]) => `${name}:${value}\n`).join('');
  const scope = `${date.slice(0, 8)}/${REGION}/s3/aws4_request`;
  const key = scope.split('/').reduce<string | Buffer>((from, step) => hmac(from, step), `AWS4${server.secretAccessKey}`);
  const canonical = `${method}\n${plainPath}\n${query}\n${lines}\n${names}\n${bodySha256}`;
  const signature = hmac(key, `AWS4-HMAC-SHA256\n${date}\n${scope}\n${sha256(canonical)}`).toString('hex');
  return {
    ...sent,
    authorization: `AWS4-HMAC-SHA256 Credential=${server.accessKeyId}/${scope}, SignedHeaders=${names}, Signature=${signature}`,
  };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
