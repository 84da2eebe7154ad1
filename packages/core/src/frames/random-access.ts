import type { CallOptions } from '@gantry/transport';
import { abortable } from '@gantry/transport';
import type { Codec } from './codecs/registry.ts';
import { atPlace } from './damage.ts';
import { assertFits, assertPlausible, codecForReading } from './decode-dump.ts';
import { decompress } from './decode-job.ts';
import { DumpReader } from './dump-reader.ts';
import type { FrameCodec } from './frame-codec.ts';
import type { FrameEntry, FrameTable } from './frame-table.ts';
import { bufferSize } from './map-frames.ts';
import type { OpenRange } from './read-frames.ts';
import { assertListed } from './read-frames.ts';
import type { FramedDump, PlainPiece } from './types.ts';

/** One frame of a disk. */
export interface PlainFrame {
  /** Plain bytes from the start of the disk. */
  readonly start: number;
  /** Bytes in their own memory, or a run of zeros. */
  readonly plain: PlainPiece;
}

export interface ReadFrameOptions extends CallOptions {
  /** Memory for reading, of which the bytes of the frame are a part; without it, they get their own. */
  readonly room?: Uint8Array | undefined;
}

/** Finds any frame of a dump by its table. Needs 8 bytes of memory for each frame besides the table. */
export class FrameIndex {
  readonly #codec: FrameCodec;
  readonly #framed: FramedDump;
  readonly #table: FrameTable;
  /** Where each frame starts in the dump, stored bytes. */
  readonly #starts: Float64Array;

  /** @throws GantryError `DUMP_DAMAGED` if the table cannot belong to the dump */
  constructor({ codec, framed, table }: { readonly codec: Codec; readonly framed: FramedDump; readonly table: FrameTable }) {
    this.#codec = codecForReading(codec);
    assertPlausible(framed, this.#codec);
    assertFits(this.#codec, framed, table);
    this.#framed = framed;
    this.#table = table;
    this.#starts = new Float64Array(table.length);
    let start = 0;
    let frame = 0;
    for (const { storedBytes } of table) {
      this.#starts[frame] = start;
      start += storedBytes;
      frame += 1;
    }
  }

  /** Bytes of memory that reading the frame needs that contains a byte of the disk; 0 for zeros. @throws RangeError */
  room(offset: number): number {
    const { entry, size } = this.#find(offset);
    return entry.isZeros ? 0 : bufferSize(entry.storedBytes + size);
  }

  /**
   * Reads and checks the frame that contains a byte of the disk. Nothing writes to its memory any more when this has settled.
   *
   * @throws GantryError `DUMP_DAMAGED`; RangeError for a byte after the end of the disk; errors of `open`
   */
  async read(offset: number, open: OpenRange, { signal, room }: ReadFrameOptions = {}): Promise<PlainFrame> {
    const { frame, start, size, entry, storedStart } = this.#find(offset);
    if (entry.isZeros) return { start, plain: { zeros: size } };
    const memory = room ?? Buffer.allocUnsafe(entry.storedBytes + size);
    const source = open(storedStart, entry.storedBytes);
    return { start, plain: await atPlace({ frame, offset: storedStart }, this.#readFrom(source, entry, { size, memory, signal })) };
  }

  #find(offset: number) {
    const { frameSize, plainBytes } = this.#framed;
    if (!Number.isSafeInteger(offset) || offset < 0 || offset >= plainBytes) {
      throw new RangeError(`byte ${offset} is outside the disk of ${plainBytes} bytes`);
    }
    const frame = Math.floor(offset / frameSize);
    const start = frame * frameSize;
    const size = Math.min(frameSize, plainBytes - start);
    const entry = this.#table.at(frame);
    const storedStart = this.#starts[frame];
    if (entry === undefined || storedStart === undefined) throw new RangeError(`there is no frame ${frame}`);
    return { frame, start, size, entry, storedStart };
  }

  async #readFrom(
    opening: ReturnType<OpenRange>,
    entry: FrameEntry,
    { size, memory, signal }: { readonly size: number; readonly memory: Uint8Array; readonly signal: AbortSignal | undefined },
  ): Promise<Uint8Array> {
    const stored = memory.subarray(size, size + entry.storedBytes);
    {
      await using source = await opening;
      await using reader = new DumpReader(abortable(source, signal));
      await reader.fill(stored);
    }
    await assertListed(this.#codec, entry, stored, size);
    using _contexts = this.#codec.use();
    return await decompress(this.#codec, stored, memory.subarray(0, size));
  }
}
