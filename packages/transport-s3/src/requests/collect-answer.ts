import { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

import { StoreError } from '@gantry/transport';

/** More than any answer except an object: a thousand unfinished uploads, each with a key of a kilobyte, each byte written as three. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** More than any error document ("REST error responses" in the Amazon S3 API reference). */
const MAX_ERROR_BYTES = 64 * 1024;
/** More than a thousand entries have; each needs about a hundred bytes of memory when parsed. */
const MAX_TAGS = 100_000;

const TAG_START = 0x3c;

const webPages = new WeakSet<object>();

/** Whether a `Content-Type` header says that the body is HTML. */
export function isHtml(contentType: string | undefined): boolean {
  return contentType !== undefined && /^text\/html\b/i.test(contentType);
}

/** Whether the body of an answer was a web page. */
export function isWebPage(body: unknown): boolean {
  return typeof body === 'object' && body !== null && webPages.has(body);
}

/**
 * Reads the document of an answer. One that is endless, or has far too many elements, must not fill the memory. An error document that
 * is too long, or a web page, is not read: then only the HTTP status counts.
 *
 * @throws StoreError `unsupported`
 */
export async function collectAnswer(body: unknown): Promise<Uint8Array> {
  if (!(body instanceof Readable)) return new Uint8Array(0);
  const isError = body instanceof IncomingMessage && (body.statusCode ?? 0) >= 300;
  const isPage = body instanceof IncomingMessage && isHtml(body.headers['content-type']);
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  let tags = 0;
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue;
    bytes += chunk.length;
    tags += countTags(chunk);
    // Some services send the empty answer to a HEAD as HTML: that is not a web page.
    if (isPage) webPages.add(body);
    if (isError && (isPage || bytes > MAX_ERROR_BYTES)) return new Uint8Array(0);
    if (bytes > MAX_ANSWER_BYTES || tags > MAX_TAGS) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function countTags(chunk: Uint8Array): number {
  let count = 0;
  for (let at = chunk.indexOf(TAG_START); at !== -1; at = chunk.indexOf(TAG_START, at + 1)) count += 1;
  return count;
}

function tooLong(): StoreError {
  const error = new StoreError('unsupported', {
    message: `the answer of the service is too long for one page of a listing: it has more than ${MAX_ANSWER_BYTES / 1024 / 1024} MiB or ${MAX_TAGS} elements`,
    hint: 'Is it an S3 service? Check endpoint= in the address.',
  });
  // Without this, the SDK adds advice for programmers to the message.
  return Object.assign(error, { $metadata: {} });
}
