import { createHash } from 'node:crypto';
import { AgeError } from '@gantry/age/light';
import type { CallOptions, Digest, Store } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import { FormatProblem } from '../frames/damage.ts';
import type { FrameMap } from '../frames/frame-map.ts';
import { GantryError } from '../report/errors.ts';
import { exportPrefix, formatExportReference } from './export-id.ts';
import { FrameMapParser, FrameMapProblem } from './frame-map-text.ts';
import { mapFileName, SEALED_SUFFIX } from './layout.ts';
import type { DumpRecord, Manifest } from './manifest.ts';
import { UnreadableTextError } from './small-object.ts';
import { asGantryError } from './store-errors.ts';
import { unsealedBytes } from './unsealing.ts';

/**
 * Reads the frame map of one disk of an export, and checks it against the manifest; undefined if the disk has none.
 *
 * @throws GantryError `MAP_DAMAGED` where it is missing, or not what the manifest says, or not a valid map; `STORE_*`
 */
export async function readFrameMap(
  store: Store,
  manifest: Manifest,
  { index, map, plainBytes }: DumpRecord,
  options: CallOptions = {},
): Promise<FrameMap | undefined> {
  if (map === undefined) return undefined;
  const {
    instance: { name },
    exportId,
  } = manifest;
  const object = mapFileName(index, manifest);
  const file = `${object} of ${formatExportReference(name, exportId)}`;
  const parser = new FrameMapParser({ instance: name, exportId, packs: map.packs }, plainBytes);
  try {
    for await (const chunk of mapText(store, `${exportPrefix(name, exportId)}${object}`, map, options)) parser.push(chunk);
    return parser.end();
  } catch (error) {
    if (isStoreError(error, 'not-found')) throw mapDamaged(file, 'it is missing', index, error);
    if (error instanceof FrameMapProblem || error instanceof AgeError || error instanceof UnreadableTextError)
      throw mapDamaged(file, error.message, index, error);
    throw asGantryError(error, store.address);
  }
}

/**
 * The text of a frame map, piece by piece: no more than it should have.
 *
 * @throws FrameMapProblem at the latest after the last piece, if it is not what was expected; StoreError; for an encrypted one as
 *   {@link unsealedBytes}
 */
export async function* mapText(
  store: Store,
  key: string,
  expected: Digest,
  options: CallOptions,
): AsyncGenerator<Uint8Array, void, undefined> {
  if (key.endsWith(SEALED_SUFFIX)) {
    yield* unsealedBytes(store, key, expected, options);
    return;
  }
  const digest = createHash('sha256');
  let size = 0;
  await using source = await store.read(key, options);
  if (source.objectSize !== expected.size) throw new FrameMapProblem(`it has ${source.objectSize} bytes instead of ${expected.size}`);
  for await (const chunk of source) {
    digest.update(chunk);
    size += chunk.length;
    if (size > expected.size) break;
    yield chunk;
  }
  const sha256 = digest.digest('hex');
  if (sha256 !== expected.sha256) throw new FrameMapProblem(`SHA-256 mismatch: got ${sha256}, expected ${expected.sha256}`);
}

/** The error for a frame map. @param file such as `disk0.map of web1@20261123T081500Z` */
export function mapDamaged(file: string, what: string, disk: number, cause?: unknown): GantryError {
  return new GantryError('MAP_DAMAGED', {
    message: `${file} is damaged: ${what}`,
    hint: 'Use another export of this instance: each has its own frame maps.',
    disk,
    cause,
  });
}

/** Waits for `work`, and turns its FormatProblem into the error for the frame map of this disk. */
export async function inMap<T>(reference: string, disk: number, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw error instanceof FormatProblem ? mapDamaged(`${mapFileName(disk)} of ${reference}`, error.message, disk, error) : error;
  }
}
