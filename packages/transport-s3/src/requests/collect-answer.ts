import { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';

import { StoreError } from '@gantry/transport';

/** More than any answer has that is no object: a thousand unfinished uploads, each with a key of a kilobyte, each byte written as three. */
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
/** More than an error says ("REST error responses" in the Amazon S3 API reference). */
const MAX_ERROR_BYTES = 64 * 1024;
/** More than a thousand entries have; what is parsed needs some hundred bytes of memory for each. */
const MAX_TAGS = 100_000;

const TAG_START = 0x3c;

const webPages = new WeakSet<object>();

/** Whether a header `Content-Type` says so. */
export function isHtml(contentType: string | undefined): boolean {
  return contentType !== undefined && /^text\/html\b/i.test(contentType);
}

/** Whether the body of an answer was a web page. */
export function isWebPage(body: unknown): boolean {
  return typeof body === 'object' && body !== null && webPages.has(body);
}

/**
 * Reads the document of an answer. One without end, or with far too many parts, must not fill the memory. An error that is longer than
 * errors are, or a web page, is not read: then the HTTP status says what there is to say.
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
    // Some services call the empty answer to a HEAD HTML: that is not a page.
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
    message: `the service answered with more than ${MAX_ANSWER_BYTES / 1024 / 1024} MiB, or ${MAX_TAGS} elements, where a page of a listing was asked for`,
    hint: 'Is it an S3 service? Check endpoint= in the address.',
  });
  // The SDK adds advice for programmers to the messages of errors without it.
  return Object.assign(error, { $metadata: {} });
}
