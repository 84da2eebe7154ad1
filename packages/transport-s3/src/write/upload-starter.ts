import { isStoreError } from '@gantry/transport';

import type { Bucket } from '../requests/bucket.ts';
import { isUncertain } from '../requests/errors.ts';
import type { MultipartUpload } from './multipart.ts';
import { createUpload, endUpload } from './multipart.ts';
import { randomToken } from '../requests/token.ts';
import { listUploads } from '../read/uploads-listing.ts';

/** How much the clocks may differ: beyond that the SDK corrects its own. */
const CLOCK_TOLERANCE_MS = 5 * 60_000;

/**
 * Starts the upload of one write, and remembers if an answer was lost: the service may then have started an upload whose id
 * is unknown, and which appears in every listing until it is aborted.
 */
export class UploadStarter {
  /** Identifies this write's object. */
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
    const start = Date.now();
    return createUpload(this.#bucket, this.#key, {
      writeId: this.writeId,
      onFailure: (error) => {
        if (isUncertain(error)) this.#uncertainSince ??= start;
      },
    });
  }

  /** The caller stopped waiting for the upload: aborts it as soon as its id is known. Never throws. */
  async abandon(started: Promise<MultipartUpload>): Promise<void> {
    try {
      await endUpload(this.#bucket, await started);
    } catch {
      // Then there is nothing to abort, or the next listing of unfinished writes shows it.
    }
    await this.sweep();
  }

  /** Aborts what lost answers may have left: uploads of the same key, from the time in question, that no write of this store has. */
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
