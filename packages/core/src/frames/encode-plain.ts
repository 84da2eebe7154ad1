import { crc32 } from 'node:zlib';
import { abortable } from '../system/abortable.ts';
import type { EncodedTotals } from './encode-frames.ts';
import { StreamDigest } from './stream-digest.ts';
import type { DumpProgress, PlainPiece } from './types.ts';
import { Uint32List } from '../system/uint32-list.ts';
import { zeroChunks } from './zeros.ts';

export interface EncodePlainOptions {
  readonly frameSize: number;
  readonly signal: AbortSignal;
  readonly onProgress: DumpProgress | undefined;
}

/** The plain bytes as they come, holes written out; then the totals, with a checksum for each frame. */
export async function* encodePlain(
  pieces: AsyncIterable<PlainPiece>,
  o: EncodePlainOptions,
): AsyncGenerator<Uint8Array, EncodedTotals, undefined> {
  using digest = new StreamDigest();
  const checksums = new FrameChecksums(o.frameSize);
  let bytes = 0;
  for await (const piece of abortable(pieces, o.signal)) {
    for (const chunk of piece instanceof Uint8Array ? [piece] : zeroChunks(piece.zeros)) {
      o.signal.throwIfAborted();
      const digested = digest.update(chunk);
      checksums.update(chunk);
      bytes += chunk.length;
      o.onProgress?.(bytes, bytes);
      try {
        yield chunk;
      } finally {
        await digested;
      }
    }
  }
  return { plainBytes: bytes, storedBytes: bytes, sha256: await digest.hex(), ...checksums.finish() };
}

/** The CRC-32 of each frame of a stream. */
class FrameChecksums {
  readonly #frameSize: number;
  readonly #finished = new Uint32List();
  #current = 0;
  #filled = 0;

  constructor(frameSize: number) {
    this.#frameSize = frameSize;
  }

  update(chunk: Uint8Array): void {
    for (let start = 0; start < chunk.length;) {
      const part = chunk.subarray(start, start + this.#frameSize - this.#filled);
      this.#current = crc32(part, this.#current);
      this.#filled += part.length;
      start += part.length;
      if (this.#filled === this.#frameSize) this.#endFrame();
    }
  }

  finish(): { frames: number; frameCrc32: string } {
    if (this.#filled > 0) this.#endFrame();
    const bytes = Buffer.allocUnsafe(this.#finished.length * 4);
    for (let frame = 0; frame < this.#finished.length; frame += 1) bytes.writeUInt32BE(this.#finished.at(frame) ?? 0, frame * 4);
    return { frames: this.#finished.length, frameCrc32: bytes.toString('base64') };
  }

  #endFrame(): void {
    this.#finished.push(this.#current);
    this.#current = 0;
    this.#filled = 0;
  }
}
