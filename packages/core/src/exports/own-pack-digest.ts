import type { ByteSource } from '@gantry/transport';
import { abortable } from '@gantry/transport';
import { DAMAGED_DUMP_HINT } from '../frames/damage.ts';
import type { MapPacks } from '../frames/decode-map.ts';
import type { OpenPackRange } from '../frames/pack-runs.ts';
import { StreamDigest } from '../frames/stream-digest.ts';
import { GantryError } from '../report/errors.ts';
import { formatExportReference } from './export-id.ts';
import type { MappedDisk } from './pack-sources.ts';
import { packPath } from './packs.ts';

/**
 * The SHA-256 of the pack that belongs to the export itself, from the bytes that are read of it anyway while its frames are checked: they
 * lie in it in their order. What nothing has read, such as a seek table, is read at the end.
 */
export class OwnPackDigest implements Disposable {
  readonly #disk: MappedDisk;
  readonly #packs: MapPacks;
  readonly #number: number;
  readonly #digest = new StreamDigest();
  /** Bytes from the start of the pack that were digested. */
  #position = 0;
  /** Resolves when the last source of the pack has ended. */
  #last: Promise<void> = Promise.resolve();

  constructor(disk: MappedDisk, packs: MapPacks) {
    this.#disk = disk;
    this.#packs = packs;
    // Of an encrypted pack, the digest is not that of the bytes in which its frames are: those are authenticated one by one.
    this.#number = disk.isSealed === true ? -1 : disk.packs.findIndex((pack) => packPath(pack, disk) === pack.name);
  }

  /** For reading frames, in the order of the map. */
  readonly open: OpenPackRange = async (range, signal) => {
    const source = await this.#packs.open(range, signal);
    if (range.pack !== this.#number) return source;
    return {
      length: source.length,
      objectSize: source.objectSize,
      [Symbol.asyncIterator]: () => this.#digested(source, range.offset),
      [Symbol.asyncDispose]: () => source[Symbol.asyncDispose](),
    };
  };

  /** Reads the rest of the pack, and compares. @throws GantryError `DUMP_DAMAGED`, `DUMP_MISSING`, `STORE_*`; the reason of the signal */
  async check(signal: AbortSignal): Promise<void> {
    const own = this.#disk.packs[this.#number];
    if (own === undefined) return;
    if (this.#position < own.size) {
      const rest = { pack: this.#number, offset: this.#position, storedBytes: own.size - this.#position };
      await using source = await this.open(rest, signal);
      for await (const _chunk of abortable(source, signal));
    }
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

  /** One source after another: the frames of the one before have their memory already, so that it ends by itself. */
  async *#digested(source: ByteSource, start: number): AsyncGenerator<Uint8Array, void, undefined> {
    const before = this.#last;
    const ended = Promise.withResolvers<void>();
    this.#last = ended.promise;
    try {
      await before;
      let at = start;
      for await (const chunk of source) {
        const isNext = at === this.#position;
        at += chunk.length;
        if (isNext) this.#position = at;
        const digested = isNext ? this.#digest.update(chunk) : undefined;
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
