import { Transform } from 'node:stream';

/** A fault of one request. Bytes count from the start of the body. */
export type Fault =
  /** The proxy itself responds with an error document, or an empty body if `code` is empty; the server gets nothing. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly code: string;
      readonly fields?: Readonly<Record<string, string>>;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The document of the response is changed. */
  | { readonly kind: 'rewrite'; readonly change: (body: string) => string }
  /** There is no response; the server gets nothing. */
  | { readonly kind: 'silence' }
  /** The connection is reset after this many bytes of the request's body. */
  | { readonly kind: 'cut-request'; readonly bytes: number }
  /** The transfer stalls after this many bytes. */
  | { readonly kind: 'stall-request'; readonly bytes: number }
  /** One bit of the request's body is flipped. */
  | { readonly kind: 'flip-request'; readonly byte: number }
  /** The server processes the request; the connection is reset before its response. */
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'cut-response'; readonly bytes: number }
  | { readonly kind: 'stall-response'; readonly bytes: number }
  /** The response ends early without an error. */
  | { readonly kind: 'truncate-response'; readonly bytes: number }
  | { readonly kind: 'flip-response'; readonly byte: number }
  /** The response has another ETag: this one, or its own changed by `change`. */
  | { readonly kind: 'etag'; readonly value: string }
  | { readonly kind: 'etag'; readonly change: (etag: string) => string };

/** The error of a stream that was cut on purpose. */
export class CutError extends Error {
  override readonly name = 'CutError';
}

export function cutAfter(bytes: number): Transform {
  return transform((chunk, before) => {
    if (before + chunk.length >= bytes) throw new CutError('cut on purpose');
    return chunk;
  });
}

/** Passes this many bytes and then stalls, until the stream is destroyed. */
export function stallAfter(bytes: number): Transform {
  let passed = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      passed += chunk.length;
      if (passed <= bytes) callback(null, chunk);
    },
  });
}

export function truncateAfter(bytes: number): Transform {
  return transform((chunk, before) => chunk.subarray(0, Math.max(0, bytes - before)));
}

export function flipBitAt(byte: number): Transform {
  return transform((chunk, before) => {
    const index = byte - before;
    if (index < 0 || index >= chunk.length) return chunk;
    const flipped = Buffer.from(chunk);
    flipped[index] = (flipped[index] ?? 0) ^ 1;
    return flipped;
  });
}

/** An error document of S3 services ("REST error responses" in the Amazon S3 API reference). */
export function errorDocument(code: string, fields: Readonly<Record<string, string>> = {}): string {
  const elements = Object.entries({ Code: code, Message: `${code}, says the proxy`, ...fields });
  return `<?xml version="1.0" encoding="UTF-8"?>\n<Error>${elements.map(([name, value]) => `<${name}>${value}</${name}>`).join('')}</Error>`;
}

function transform(change: (chunk: Buffer, before: number) => Buffer): Transform {
  let before = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, callback) {
      try {
        const changed = change(chunk, before);
        before += chunk.length;
        callback(null, changed);
      } catch (error) {
        callback(error instanceof Error ? error : new Error(String(error)));
      }
    },
  });
}
