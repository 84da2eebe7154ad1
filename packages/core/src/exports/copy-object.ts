import { createHash } from 'node:crypto';
import type { CallOptions, Digest, PendingObject, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { ExportObject } from './export-objects.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { failureOf } from './object-kinds.ts';
import { asGantryError, withStoreErrors } from './store-errors.ts';

/** The directory of an export into which objects are copied. */
export interface ObjectPlace {
  /** Whether an unfinished write waits for the next run, where the store can do that. */
  readonly canWait: boolean;
  /** Whether an object of that size is complete here. */
  has(name: string, size: number): boolean;
  /** Starts an object, or continues what a dead run wrote of it: then the write has `durableBytes`. @throws StoreError */
  begin(name: string, expectedBytes: number, options: CallOptions): Promise<PendingObject>;
  /** Completes an object. @throws StoreError `integrity` */
  finish(name: string, pending: PendingObject, digest: Digest, options: CallOptions): Promise<void>;
}

/** An export whose objects are copied as they are. */
export interface CopiedExport {
  readonly source: Store;
  readonly instance: string;
  readonly id: string;
  /** Where it goes. */
  readonly target: Store;
  readonly place: ObjectPlace;
}

export interface CopyObjectOptions {
  readonly signal: AbortSignal;
  /** Called with the bytes that are there, from the start of the object. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

/**
 * Copies one object as it is, and compares it with the digest that the manifest has. What a dead run wrote of it is not sent again.
 *
 * @returns how many bytes were sent
 * @throws GantryError `DUMP_MISSING`, `DUMP_DAMAGED`, and the like, where the source lacks it or has another one; `STORE_*` of either store
 */
export async function copyObject(copied: CopiedExport, object: ExportObject, options: CopyObjectOptions): Promise<number> {
  const { place, target } = copied;
  if (place.has(object.name, object.size)) return 0;
  return await withStoreErrors(target.address, async () => {
    const first = await tryToCopy(copied, object, options);
    if (first !== 'damaged') return first;
    // What a dead run left of it did not fit what came now.
    const second = await tryToCopy(copied, object, options);
    if (second !== 'damaged') return second;
    throw new TypeError(`a new write of ${object.name} was continued`);
  });
}

async function tryToCopy(copied: CopiedExport, object: ExportObject, options: CopyObjectOptions): Promise<number | 'damaged'> {
  const { place, source } = copied;
  const { signal, onProgress } = options;
  await using pending = await place.begin(object.name, object.size, { signal });
  const from = pending.durableBytes;
  if (from > 0 && (from > object.size || !source.capabilities.rangedRead)) return 'damaged';
  try {
    onProgress?.(from);
    if (from < object.size || from === 0) await pending.append(storedBytes(copied, object, from, options), { signal });
    await place.finish(object.name, pending, object, { signal });
    return object.size - from;
  } catch (error) {
    if (isStoreError(error, 'integrity')) {
      if (from > 0) return 'damaged';
      await assertIntact(copied, object, { signal });
    }
    if (place.canWait) await keepIfInterrupted(pending, error, copied.target, signal);
    throw error;
  }
}

/** What has arrived waits for the next run, where the store can do that. */
async function keepIfInterrupted(pending: PendingObject, error: unknown, target: Store, signal: AbortSignal): Promise<void> {
  if (!target.capabilities.resumableWrite || !isInterruption(error, signal)) return;
  // Disposing the write discards what could not be suspended.
  await pending.suspend().catch(() => undefined);
}

/** Whether a copy failed in a way after which the same one may go on later. */
export function isInterruption(error: unknown, signal: AbortSignal): boolean {
  return (
    (signal.aborted && error === signal.reason && !(error instanceof GantryError)) ||
    isStoreError(error, 'unavailable') ||
    (error instanceof GantryError && error.code === 'STORE_UNAVAILABLE')
  );
}

/** The bytes of an object at the source, as many as the manifest says. Its errors are core's, and name the source. */
async function* storedBytes(
  { source, instance, id }: CopiedExport,
  object: ExportObject,
  from: number,
  { signal, onProgress }: CopyObjectOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    await using bytes = await source.read(`${exportPrefix(instance, id)}${object.name}`, {
      signal,
      ...(from === 0 ? {} : { offset: from }),
    });
    if (bytes.objectSize !== object.size) throw damaged(object, instance, id, sizeProblem(bytes.objectSize, object.size));
    let at = from;
    for await (const chunk of bytes) {
      at += chunk.length;
      if (at > object.size) break;
      yield chunk;
      onProgress?.(at);
    }
    if (at !== object.size) throw damaged(object, instance, id, sizeProblem(at, object.size));
  } catch (error) {
    if (!isStoreError(error, 'not-found')) throw asGantryError(error, source.address);
    throw new GantryError(failureOf(object, 'missing'), {
      message: `${formatExportReference(instance, id)} is incomplete: its file ${object.name} is not in ${source.address}`,
      hint: 'Copy another export of this instance.',
      disk: object.disk,
      cause: error,
    });
  }
}

/** Where the bytes that arrived are not those that the manifest says: was it the source? @throws GantryError if so */
async function assertIntact(copied: CopiedExport, object: ExportObject, { signal }: CopyObjectOptions): Promise<void> {
  const digest = createHash('sha256');
  for await (const chunk of storedBytes(copied, object, 0, { signal })) digest.update(chunk);
  const sha256 = digest.digest('hex');
  if (sha256 !== object.sha256)
    throw damaged(object, copied.instance, copied.id, `SHA-256 mismatch: got ${sha256}, expected ${object.sha256}`);
}

function sizeProblem(size: number, expected: number): string {
  return `it has ${size} bytes instead of ${expected}`;
}

function damaged(object: ExportObject, instance: string, id: string, what: string): GantryError {
  return new GantryError(failureOf(object, 'damaged'), {
    message: `${object.name} of ${formatExportReference(instance, id)} is damaged: ${what}`,
    hint: 'Copy another export of this instance; gantry verify checks one completely.',
    disk: object.disk,
  });
}
