import { asBuffer } from '../system/as-buffer.ts';
import { Uint32List } from '../system/number-lists.ts';

/** One frame of a dump. The sizes of the frames before it tell where it starts. */
export interface FrameEntry {
  /** Size of the frame in the dump, bytes. */
  readonly storedBytes: number;
  /** Whether it holds only zeros. */
  readonly isZeros: boolean;
  /** The checksum of the frame, as its codec defines it: see `FrameCodec.checksum`. */
  readonly checksum: number;
}

/** Bytes of an entry in {@link FrameTable.encode}. */
export const FRAME_ENTRY_BYTES = 8;

/** Never part of a size: frames have at most 64 MiB of plain data. */
const ZEROS_FLAG = 0x8000_0000;

/**
 * All frames of one dump, in order, so that any frame can be read alone and checked to be the right one for its place. Needs 8 bytes
 * for each frame: 2 MiB for a disk of 1 TiB.
 */
export class FrameTable {
  readonly #sizes = new Uint32List();
  readonly #checksums = new Uint32List();
  #storedBytes = 0;

  /** Number of frames. */
  get length(): number {
    return this.#sizes.length;
  }

  /** Bytes of all frames together, without the trailer of the dump. */
  get storedBytes(): number {
    return this.#storedBytes;
  }

  push({ storedBytes, isZeros, checksum }: FrameEntry): void {
    this.#sizes.push(isZeros ? storedBytes + ZEROS_FLAG : storedBytes);
    this.#checksums.push(checksum);
    this.#storedBytes += storedBytes;
  }

  /** The frame with this index, from 0; undefined after the last. */
  at(index: number): FrameEntry | undefined {
    const size = this.#sizes.at(index);
    const checksum = this.#checksums.at(index);
    if (size === undefined || checksum === undefined) return undefined;
    return entryOf(size, checksum);
  }

  *[Symbol.iterator](): Generator<FrameEntry, void, undefined> {
    for (let index = 0; ; index += 1) {
      const entry = this.at(index);
      if (entry === undefined) return;
      yield entry;
    }
  }

  /**
   * Two little-endian numbers of 4 bytes for each frame: its stored size, whose highest bit is set if it holds only zeros, and its
   * checksum (docs/reference/formats/frame-tables.md).
   */
  encode(): Uint8Array {
    const bytes = Buffer.allocUnsafe(this.length * FRAME_ENTRY_BYTES);
    for (let index = 0; index < this.length; index += 1) {
      bytes.writeUInt32LE(this.#sizes.at(index) ?? 0, index * FRAME_ENTRY_BYTES);
      bytes.writeUInt32LE(this.#checksums.at(index) ?? 0, index * FRAME_ENTRY_BYTES + 4);
    }
    return bytes;
  }

  /** The reverse of {@link FrameTable.encode}; bytes after the last complete entry are ignored. */
  static decode(encoded: Uint8Array): FrameTable {
    const bytes = asBuffer(encoded);
    const table = new FrameTable();
    for (let at = 0; at + FRAME_ENTRY_BYTES <= bytes.length; at += FRAME_ENTRY_BYTES) {
      table.push(entryOf(bytes.readUInt32LE(at), bytes.readUInt32LE(at + 4)));
    }
    return table;
  }
}

function entryOf(size: number, checksum: number): FrameEntry {
  const isZeros = size >= ZEROS_FLAG;
  return { storedBytes: isZeros ? size - ZEROS_FLAG : size, isZeros, checksum };
}
