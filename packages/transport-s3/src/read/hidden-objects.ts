import type { ListObjectVersionsCommandOutput } from '@aws-sdk/client-s3';
import { DeleteObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3';
import type { HiddenObject } from '@gantry/transport';
import { StoreError } from '@gantry/transport';

import type { Bucket } from '../requests/bucket.ts';
import { decodeListedKey } from './listed-key.ts';
import { isKey, notAListing } from './listing.ts';

/** Delete markers that are removed at once. */
const MAX_PARALLEL_REMOVALS = 16;
/** With a thousand versions per page: more than any bucket has. */
const MAX_PAGES = 100_000;

/** What the service has of one name. */
interface Versions {
  newest: { readonly size: number; readonly modified: Date } | undefined;
  /** The delete marker that is the newest of all. */
  latest: Marker | undefined;
  readonly markers: Marker[];
}

interface Marker {
  readonly versionId: string;
  readonly modified: Date;
}

/** The objects below a prefix that a delete marker hides, in the order of their keys' bytes. @throws StoreError */
export async function* listHidden(bucket: Bucket, prefix: string, signal?: AbortSignal): AsyncGenerator<HiddenObject, void, undefined> {
  const open = new Map<string, Versions>();
  for await (const page of pages(bucket, prefix, signal)) {
    take(page, bucket, open);
    // The versions of the last one may go on with the next page.
    const names = [...open.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
    for (const name of page.IsTruncated === true ? names.slice(0, -1) : names) {
      const found = hiddenObject(name, open.get(name));
      open.delete(name);
      if (found !== undefined) yield found;
    }
    signal?.throwIfAborted();
  }
}

/**
 * Removes the markers that hide objects; their versions are then the current ones again. It ends when all requests have ended: after the
 * first failure no more begin.
 *
 * @throws StoreError
 */
export async function unhideObjects(bucket: Bucket, objects: readonly HiddenObject[], signal?: AbortSignal): Promise<void> {
  const markers = objects.flatMap(({ key, token }) => token.split(' ').map((versionId) => ({ key, versionId }))).values();
  const failures: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (const { key, versionId } of markers) {
      if (failures.length > 0) return;
      try {
        await removeMarker(bucket, key, versionId, signal);
      } catch (error) {
        failures.push(error);
      }
    }
  };
  await Promise.all(Array.from({ length: MAX_PARALLEL_REMOVALS }, worker));
  if (failures.length > 0) throw failures[0];
}

async function removeMarker(bucket: Bucket, key: string, versionId: string, signal: AbortSignal | undefined): Promise<void> {
  // Without a version, the request would remove the object.
  if (versionId === '') throw new StoreError('unsupported', { key, message: `${bucket.show(key)} has a delete marker without a version` });
  const { bucket: Bucket } = bucket.address;
  await bucket.request({ doing: 'removing the delete marker of', key, signal }, (send) =>
    bucket.clients.usual.send(new DeleteObjectCommand({ Bucket, Key: bucket.fullKey(key), VersionId: versionId }), send),
  );
}

async function* pages(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ListObjectVersionsCommandOutput, void, undefined> {
  let markers: { readonly KeyMarker?: string | undefined; readonly VersionIdMarker?: string | undefined } = {};
  for (let pages = 0; ; pages += 1) {
    const page = await bucket.request({ doing: 'listing the versions of', key: prefix, ofBucket: true, signal }, async (send) => {
      const common = { Bucket: bucket.address.bucket, Prefix: bucket.fullKey(prefix), EncodingType: 'url' } as const;
      const answer = await bucket.clients.usual.send(new ListObjectVersionsCommand({ ...common, ...markers }), send);
      if (answer.Name === undefined && answer.IsTruncated === undefined) throw notAListing(bucket, prefix);
      return answer;
    });
    yield page;
    if (page.IsTruncated !== true) return;
    const KeyMarker = decodeListedKey(page.NextKeyMarker, page.EncodingType, '');
    const VersionIdMarker = page.NextVersionIdMarker;
    const repeats = KeyMarker === markers.KeyMarker && VersionIdMarker === markers.VersionIdMarker;
    if (pages > MAX_PAGES || KeyMarker === undefined || repeats) throw endless(bucket, prefix);
    markers = { KeyMarker, ...(VersionIdMarker === undefined ? {} : { VersionIdMarker }) };
  }
}

function take(page: ListObjectVersionsCommandOutput, bucket: Bucket, open: Map<string, Versions>): void {
  const versionsOf = (listed: string | undefined): Versions | undefined => {
    const key = decodeListedKey(listed, page.EncodingType, bucket.address.prefix);
    if (key === undefined || !isKey(key)) return undefined;
    const versions = open.get(key) ?? { newest: undefined, latest: undefined, markers: [] };
    open.set(key, versions);
    return versions;
  };
  for (const { Key, Size: size, LastModified: modified } of page.Versions ?? []) {
    const versions = versionsOf(Key);
    if (versions === undefined || size === undefined || modified === undefined) continue;
    // A listing has the newest first. Times do not say it: that of a large object can be when its upload began.
    versions.newest ??= { size, modified };
  }
  for (const { Key, VersionId: versionId, LastModified: modified, IsLatest } of page.DeleteMarkers ?? []) {
    const versions = versionsOf(Key);
    if (versions === undefined || versionId === undefined || modified === undefined) continue;
    versions.markers.push({ versionId, modified });
    if (IsLatest === true) versions.latest = { versionId, modified };
  }
}

/** A marker between two versions hides nothing: one that is as old as the newest version goes with the latest. */
function hiddenObject(key: string, { newest, latest, markers }: Versions = NONE): HiddenObject | undefined {
  if (newest === undefined || latest === undefined) return undefined;
  const others = markers.filter(({ versionId, modified }) => versionId !== latest.versionId && modified >= newest.modified);
  return { key, ...newest, hidden: latest.modified, token: [latest, ...others].map(({ versionId }) => versionId).join(' ') };
}

const NONE: Versions = { newest: undefined, latest: undefined, markers: [] };

function endless(bucket: Bucket, prefix: string): StoreError {
  return new StoreError('unsupported', {
    key: prefix,
    message: `listing the versions of ${bucket.show(prefix)}: the listing of the service does not end`,
    hint: 'It must support ListObjectVersions with markers; ask its provider.',
  });
}
