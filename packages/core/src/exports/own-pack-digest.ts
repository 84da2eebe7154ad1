import { abortable } from '@gantry/transport';
import { DAMAGED_DUMP_HINT } from '../frames/damage.ts';
import type { OpenPackRange } from '../frames/pack-runs.ts';
import { StreamDigest } from '../frames/stream-digest.ts';
import { GantryError } from '../report/errors.ts';
import { formatExportReference } from './export-id.ts';
import type { MappedDisk, StoredPacks } from './pack-sources.ts';
import { packPath } from './packs.ts';

/** What may be before the first frame: the header of an encrypted pack. */
const MAX_SEALED_HEADER_BYTES = 1024 ** 2;

/**
 * The SHA-256 of the pack that belongs to the export itself, from the bytes that are read of it anyway while its frames are checked: they
 * lie in it in their order. What nothing has read, such as a seek table, is read at the end. Of an encrypted pack, the bytes are whole
 * encrypted blocks: one on the edge of two ranges is read twice, and counts once.
 */
export class OwnPackDigest implements Disposable {
  readonly #disk: MappedDisk;
  readonly #packs: StoredPacks;
  readonly #number: number;
  readonly #digest = new StreamDigest();
  /** Bytes from the start of the pack that were digested. */
  #position = 0;
  /** Resolves when the last source of the pack has ended. */
  #last: Promise<void> = Promise.resolve();

  constructor(disk: MappedDisk, packs: StoredPacks) {
    this.#disk = disk;
    this.#packs = packs;
    this.#number = disk.packs.findIndex((pack) => packPath(pack, disk) === pack.name);
  }

  /** For reading frames, in the order of the map. */
  readonly open: OpenPackRange = async (range, signal) => {
    if (range.pack !== this.#number) return await this.#packs.open(range, signal);
    return await this.#packs.openPassing(range, (chunks, offset) => this.#digested(chunks, offset, signal), signal);
  };

  /** Reads the rest of the pack, and compares. @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `STORE_*`; the reason of the signal */
  async check(signal: AbortSignal): Promise<void> {
    const own = this.#disk.packs[this.#number];
    if (own === undefined) return;
    await this.#readTo(own.size, signal);
    const sha256 = await this.#digest.hex();
    if (sha256 === own.sha256) return;
    const { instance, exportId, disk } = this.#disk;
    throw new GantryError('DUMP_DAMAGED', {
      message: `${own.name} of ${formatExportReference(instance, exportId)} is damaged: SHA-256 mismatch: got ${sha256}, expected ${own.sha256}`,
      hint: DAMAGED_DUMP_HINT,
      disk,
    });
  }

  [Symbol.dispose](): void {
    this.#digest[Symbol.dispose]();
  }

  /** Reads what is before an offset and was not read yet: the header of an encrypted pack, and what is after the last frame. */
  async #readTo(end: number, signal: AbortSignal): Promise<void> {
    if (this.#position >= end) return;
    const range = { pack: this.#number, offset: this.#position, storedBytes: end - this.#position };
    await using source = await this.#packs.openStored(range, signal);
    for await (const chunk of abortable(source, signal)) {
      await this.#digest.update(chunk);
      this.#position += chunk.length;
    }
  }

  /** One source after another: the frames of the one before have their memory already, so that it ends by itself. */
  async *#digested(chunks: AsyncIterable<Uint8Array>, start: number, signal: AbortSignal): AsyncGenerator<Uint8Array, void, undefined> {
    const before = this.#last;
    const ended = Promise.withResolvers<void>();
    this.#last = ended.promise;
    try {
      await before;
      if (this.#position === 0 && start <= MAX_SEALED_HEADER_BYTES) await this.#readTo(start, signal);
      let at = start;
      for await (const chunk of chunks) {
        const known = this.#position - at;
        at += chunk.length;
        const isNext = known >= 0 && known < chunk.length;
        if (isNext) this.#position = at;
        const digested = isNext ? this.#digest.update(chunk.subarray(known)) : undefined;
        try {
          yield chunk;
        } finally {
          await digested;
        }
      }
    } finally {
      ended.resolve();
    }
  }
}
