import { ListMultipartUploadsCommand } from '@aws-sdk/client-s3';
import { StoreError } from '@gantry/transport';

import type { Bucket } from '../requests/bucket.ts';
import { decodeListedKey } from './listed-key.ts';
import { notAListing } from './listing.ts';
import type { MultipartUpload } from '../write/multipart.ts';

/** One unfinished upload, as the service lists it. */
export interface ListedUpload extends MultipartUpload {
  readonly started: Date;
  /** The user who started it, as the service calls them; empty if it does not say. */
  readonly initiator: string;
}

/** With a thousand uploads per page: more than any bucket has. */
const MAX_PAGES = 1000;

/** The unfinished uploads of keys that start with `prefix`, page by page. Includes uploads of other programs below the store's prefix. */
export async function* listUploads(bucket: Bucket, prefix: string, signal?: AbortSignal): AsyncGenerator<ListedUpload, void, undefined> {
  let markers: { readonly KeyMarker?: string; readonly UploadIdMarker?: string } = {};
  let pages = 0;
  for (;;) {
    const page = await bucket.request({ doing: 'listing unfinished uploads in', key: prefix, ofBucket: true, signal }, async (send) => {
      const answer = await bucket.clients.usual.send(
        new ListMultipartUploadsCommand({ Bucket: bucket.address.bucket, Prefix: bucket.fullKey(prefix), EncodingType: 'url', ...markers }),
        send,
      );
      if (answer.Bucket === undefined && answer.IsTruncated === undefined) throw notAListing(bucket, prefix);
      return answer;
    });
    for (const upload of page.Uploads ?? []) {
      const key = decodeListedKey(upload.Key, page.EncodingType, bucket.address.prefix);
      if (key === undefined || upload.UploadId === undefined) continue;
      yield {
        key,
        uploadId: upload.UploadId,
        started: upload.Initiated ?? new Date(0),
        initiator: upload.Initiator?.DisplayName ?? upload.Initiator?.ID ?? upload.Owner?.DisplayName ?? '',
      };
    }
    if (page.IsTruncated !== true) return;
    pages += 1;
    if (pages > MAX_PAGES || (page.NextKeyMarker === markers.KeyMarker && page.NextUploadIdMarker === markers.UploadIdMarker))
      throw endless(bucket, prefix);
    markers = {
      ...(page.NextKeyMarker === undefined ? {} : { KeyMarker: decodeMarker(page.NextKeyMarker, page.EncodingType) }),
      ...(page.NextUploadIdMarker === undefined ? {} : { UploadIdMarker: page.NextUploadIdMarker }),
    };
  }
}

function endless(bucket: Bucket, prefix: string): StoreError {
  return new StoreError('unsupported', {
    key: prefix,
    message: `listing unfinished uploads in ${bucket.show(prefix)}: the listing of the service does not end`,
    hint: 'It must support ListMultipartUploads with markers; ask its provider.',
  });
}

function decodeMarker(marker: string, encoding: string | undefined): string {
  return decodeListedKey(marker, encoding, '') ?? marker;
}
