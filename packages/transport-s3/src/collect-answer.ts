import { Readable } from 'node:stream';

import { StoreError } from '@gantry/transport';

/** More than any answer has that is no object: a thousand keys of a kilobyte, each byte written as three. */
const MOST_BYTES = 16 * 1024 * 1024;

/** Reads the document of an answer. One without end must not fill the memory. @throws StoreError `unsupported` */
export async function collectAnswer(body: unknown): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  if (!(body instanceof Readable)) return new Uint8Array(0);
  for await (const chunk of body) {
    if (!(chunk instanceof Uint8Array)) continue;
    bytes += chunk.length;
    if (bytes > MOST_BYTES) throw tooLong();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function tooLong(): StoreError {
  const error = new StoreError('unsupported', {
    message: `the service answered with more than ${MOST_BYTES / 1024 / 1024} MiB`,
    hint: 'Is it an S3 service? Check endpoint= in the address.',
  });
  // The SDK adds advice for programmers to the messages of errors without it.
  return Object.assign(error, { $metadata: {} });
}
