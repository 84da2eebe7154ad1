import { isStoreError } from '@gantry/transport';

import type { Bucket } from '../requests/bucket.ts';
import { isUncertain } from '../requests/errors.ts';
import type { MultipartUpload } from './multipart.ts';
import { createUpload, endUpload } from './multipart.ts';
import { randomToken } from '../requests/token.ts';
import { listUploads } from '../read/uploads-listing.ts';

/** By how much the clocks may differ: beyond that the SDK corrects its own. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * Starts the upload of one write, and remembers when an answer got lost: the service may then have started one that nobody
 * knows the id of, and that costs money once it has parts, and is in everybody's listings until it is ended.
 */
export class UploadStarter {
  /** Tells this write's object from any other's. */
  readonly writeId: string = randomToken();
  readonly #bucket: Bucket;
  readonly #key: string;
  readonly #isOurs: (uploadId: string) => boolean;
  readonly #warn: (message: string) => void;
  #uncertainSince: number | undefined;

  /** @param options.isOurs whether a write of this store holds the upload */
  constructor(
    bucket: Bucket,
    key: string,
    options: { readonly isOurs: (uploadId: string) => boolean; readonly warn: (message: string) => void },
  ) {
    this.#bucket = bucket;
    this.#key = key;
    this.#isOurs = options.isOurs;
    this.#warn = options.warn;
  }

  /** @throws StoreError */
  async start(): Promise<MultipartUpload> {
    const begun = Date.now();
    return createUpload(this.#bucket, this.#key, {
      writeId: this.writeId,
      onFailure: (error) => {
        if (isUncertain(error)) this.#uncertainSince ??= begun;
      },
    });
  }

  /** Nobody waits for the upload any more: ends it as soon as it is known. Never throws. */
  async abandon(started: Promise<MultipartUpload>): Promise<void> {
    try {
      await endUpload(this.#bucket, await started);
    } catch {
      // Then there is none to end, or the next listing of unfinished writes shows it.
    }
    await this.sweep();
  }

  /** Ends what lost answers may have left: uploads of the same key, from the time in question, that are nobody's here. */
  async sweep(): Promise<void> {
    if (this.#uncertainSince === undefined) return;
    const since = this.#uncertainSince - CLOCK_TOLERANCE_MS;
    this.#uncertainSince = undefined;
    try {
      for await (const upload of listUploads(this.#bucket, this.#key)) {
        if (upload.key !== this.#key || this.#isOurs(upload.uploadId)) continue;
        if (upload.started.getTime() >= since) await endUpload(this.#bucket, upload);
      }
    } catch (error) {
      if (!isStoreError(error)) throw error;
      this.#warn(`an upload of ${this.#bucket.show(this.#key)} may be left in the bucket, without parts: ${error.message}`);
    }
  }
}
