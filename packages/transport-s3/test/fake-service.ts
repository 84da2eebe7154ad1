import { createHash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { TestServer } from './serve.ts';
import { serve } from './serve.ts';

/** The kinds of requests. */
export type RequestKind =
  | 'head'
  | 'get'
  | 'put'
  | 'delete'
  | 'delete-many'
  | 'list'
  | 'start'
  | 'part'
  | 'complete'
  | 'abort'
  | 'list-parts'
  | 'list-uploads';

export interface FakeRequest {
  readonly kind: RequestKind;
  /** With the store's prefix; empty for the bucket itself. */
  readonly key: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface FakeAnswer {
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

export interface FakeService extends TestServer {
  readonly seen: readonly FakeRequest[];
}

/**
 * A service with given answers: for what only a broken or a lying one does. Other requests get the answer of a correct service
 * that keeps nothing.
 */
export async function startFakeService(
  answers: Partial<Record<RequestKind, (request: FakeRequest, count: number) => FakeAnswer>>,
): Promise<FakeService> {
  const seen: FakeRequest[] = [];
  const server = await serve((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk));
    incoming.on('end', () => {
      const url = new URL(incoming.url ?? '', 'http://x');
      const [, , ...key] = url.pathname.split('/');
      const kind = kindOf(incoming.method ?? '', url.searchParams, key.join('/'));
      const request = { kind, key: key.join('/'), query: url.searchParams, headers: incoming.headers, body: Buffer.concat(chunks) };
      seen.push(request);
      const count = seen.filter((other) => other.kind === kind).length;
      const { status = 200, headers = {}, body = '' } = (answers[kind] ?? CORRECT[kind])(request, count);
      response.writeHead(status, headers).end(kind === 'head' ? undefined : body);
    });
  });
  return { endpoint: server.endpoint, seen, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}

/** An error document. */
export function refusal(status: number, code: string): FakeAnswer {
  return { status, headers: XML, body: `<?xml version="1.0"?><Error><Code>${code}</Code></Error>` };
}

/** A document of the S3 API. */
export function document(text: string): FakeAnswer {
  return { headers: XML, body: `<?xml version="1.0"?>${text}` };
}

/** The ETag of bytes, where it is their MD5 sum. */
export function etagOf(body: Buffer): string {
  return `"${createHash('md5').update(body).digest('hex')}"`;
}

const XML = { 'content-type': 'application/xml' };

const CORRECT: Record<RequestKind, (request: FakeRequest) => FakeAnswer> = {
  head: () => ({ status: 404 }),
  get: () => refusal(404, 'NoSuchKey'),
  put: ({ body }) => ({ headers: { etag: etagOf(body) } }),
  delete: () => ({ status: 204 }),
  'delete-many': () => document('<DeleteResult></DeleteResult>'),
  list: () => document('<ListBucketResult><Name>backups</Name><IsTruncated>false</IsTruncated></ListBucketResult>'),
  start: () => document('<InitiateMultipartUploadResult><UploadId>u1</UploadId></InitiateMultipartUploadResult>'),
  part: ({ body }) => ({ headers: { etag: etagOf(body) } }),
  complete: () => document('<CompleteMultipartUploadResult><ETag>"e"</ETag></CompleteMultipartUploadResult>'),
  abort: () => ({ status: 204 }),
  'list-parts': () => refusal(404, 'NoSuchUpload'),
  'list-uploads': () =>
    document('<ListMultipartUploadsResult><Bucket>backups</Bucket><IsTruncated>false</IsTruncated></ListMultipartUploadsResult>'),
};

function kindOf(method: string, query: URLSearchParams, key: string): RequestKind {
  if (method === 'HEAD') return 'head';
  if (query.has('uploads')) return method === 'POST' ? 'start' : 'list-uploads';
  if (query.has('uploadId')) return ({ PUT: 'part', POST: 'complete', DELETE: 'abort' } as const)[method] ?? 'list-parts';
  if (query.has('delete')) return 'delete-many';
  if (method === 'PUT') return 'put';
  if (method === 'DELETE') return 'delete';
  return key === '' ? 'list' : 'get';
}
