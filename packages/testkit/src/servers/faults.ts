import { Transform } from 'node:stream';

/** What can happen to one request. Bytes count from the start of the body. */
export type Fault =
  /** The proxy answers itself, with an error document, or an empty body where `code` is empty; the server hears nothing. */
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly code: string;
      readonly fields?: Readonly<Record<string, string>>;
      readonly headers?: Readonly<Record<string, string>>;
    }
  /** The document of the answer is another one. */
  | { readonly kind: 'rewrite'; readonly change: (body: string) => string }
  /** Nothing is ever answered; the server hears nothing. */
  | { readonly kind: 'silence' }
  /** The connection is reset after so many bytes of the request's body. */
  | { readonly kind: 'cut-request'; readonly bytes: number }
  /** Nothing moves any more after so many bytes. */
  | { readonly kind: 'stall-request'; readonly bytes: number }
  /** One bit of the request's body is another. */
  | { readonly kind: 'flip-request'; readonly byte: number }
  /** The server does what it was asked for; the connection is reset before a byte of its answer. */
  | { readonly kind: 'lose-answer' }
  | { readonly kind: 'cut-response'; readonly bytes: number }
  | { readonly kind: 'stall-response'; readonly bytes: number }
  /** The answer ends early, in peace. */
  | { readonly kind: 'truncate-response'; readonly bytes: number }
  | { readonly kind: 'flip-response'; readonly byte: number }
  /** The answer has another ETag: this one, or its own as `change` writes it. */
  | { readonly kind: 'etag'; readonly value: string }
  | { readonly kind: 'etag'; readonly change: (etag: string) => string };

/** With which a stream ends that was cut on purpose. */
export class CutError extends Error {
  override readonly name = 'CutError';
}

export function cutAfter(bytes: number): Transform {
  return transform((chunk, before) => {
    if (before + chunk.length >= bytes) throw new CutError('cut on purpose');
    return chunk;
  });
}

/** Lets so many bytes through and then takes no more, until the stream is destroyed. */
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
    const place = byte - before;
    if (place < 0 || place >= chunk.length) return chunk;
    const flipped = Buffer.from(chunk);
    flipped[place] = (flipped[place] ?? 0) ^ 1;
    return flipped;
  });
}

/** An error as S3 services write it ("REST error responses" in the Amazon S3 API reference). */
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
