import { createHash } from 'node:crypto';
import { errorText } from '../report/error-text.ts';
import { StoreError, firstFailure, isStoreError, laterFailures } from '@gantry/transport';
import type { BeginOptions, CallOptions, Digest, StoreReader, StoreWriter } from '@gantry/transport';

/** Thrown for an object that is larger than the limit, not UTF-8, or not the one that was expected. */
export class UnreadableTextError extends Error {
  override readonly name = 'UnreadableTextError';
}

/** Size and SHA-256 of a text in UTF-8. */
export function digestText(text: string): Digest {
  return digestBytes(Buffer.from(text, 'utf8'));
}

/** Size and SHA-256 of bytes. */
export function digestBytes(bytes: Uint8Array): Digest {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Writes a small object, completely and durably or not at all. */
export function writeText(store: StoreWriter, key: string, text: string, options: BeginOptions = {}): Promise<void> {
  return writeBytes(store, key, Buffer.from(text, 'utf8'), options);
}

/** As {@link writeText}. */
export function writeBytes(store: StoreWriter, key: string, bytes: Uint8Array, options: BeginOptions = {}): Promise<void> {
  return withFirstStoreError(() => write(store, key, bytes, options));
}

async function write(store: StoreWriter, key: string, bytes: Uint8Array, options: BeginOptions): Promise<void> {
  await using pending = await store.begin(key, { ...options, expectedBytes: bytes.length });
  await pending.append(once(bytes), { signal: options.signal });
  await pending.commit(digestBytes(bytes), { signal: options.signal });
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

/**
 * Reads an object of at most `maxBytes` bytes as UTF-8.
 * @throws UnreadableTextError, StoreError `not-found`
 */
export async function readText(store: StoreReader, key: string, maxBytes: number, options: CallOptions = {}): Promise<string> {
  const bytes = await readBytes(store, key, maxBytes, options);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UnreadableTextError('it is not UTF-8 text');
  }
}

/**
 * Reads an object of at most `maxBytes` bytes.
 * @throws UnreadableTextError for a larger one, StoreError `not-found`
 */
export function readBytes(store: Pick<StoreReader, 'read'>, key: string, maxBytes: number, options: CallOptions = {}): Promise<Uint8Array> {
  return withFirstStoreError(() => read(store, key, maxBytes, options));
}

/**
 * Reads a small object whose size and SHA-256 are known.
 *
 * @throws UnreadableTextError where it is missing or another one, StoreError
 */
export async function readExpected(store: StoreReader, key: string, expected: Digest, options: CallOptions = {}): Promise<Uint8Array> {
  const bytes = await readBytes(store, key, expected.size, options).catch((error: unknown) => {
    throw isStoreError(error, 'not-found') ? new UnreadableTextError('it is missing', { cause: error }) : error;
  });
  if (bytes.length !== expected.size) throw new UnreadableTextError(`it has ${bytes.length} bytes instead of ${expected.size}`);
  const { sha256 } = digestBytes(bytes);
  if (sha256 !== expected.sha256) throw new UnreadableTextError(`SHA-256 mismatch: got ${sha256}, expected ${expected.sha256}`);
  return bytes;
}

async function read(store: Pick<StoreReader, 'read'>, key: string, maxBytes: number, options: CallOptions): Promise<Uint8Array> {
  await using source = await store.read(key, { signal: options.signal });
  if (source.objectSize > maxBytes)
    throw new UnreadableTextError(`it is too large: ${source.objectSize} bytes, and at most ${maxBytes} are allowed`);
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of source) {
    // The size that the store reports and the bytes that it sends may differ, for example while a file grows.
    bytes += chunk.length;
    if (bytes > maxBytes) throw new UnreadableTextError(`it is too large: more than ${maxBytes} bytes`);
    chunks.push(Buffer.from(chunk));
  }
  return Buffer.concat(chunks);
}

/** Rejects with the first error, which callers switch on; errors of cleaning up are added to its message. */
async function withFirstStoreError<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    const first = firstFailure(error);
    const later = laterFailures(error).map((failure) => `; after that: ${errorText(failure)}`);
    if (later.length === 0 || !isStoreError(first)) throw first;
    const { code, message, hint, key } = first;
    throw new StoreError(code, { message: `${message}${later.join('')}`, hint, key, cause: error });
  }
}
