import type { PlainReader } from './plain-reader.ts';
import { FormatProblem } from './damage.ts';
import type { BlockDigests } from './block-digests.ts';
import type { DiskPart } from './changed-blocks.ts';
import { DumpReader } from './dump-reader.ts';
import type { PlainPiece } from './types.ts';
import { FRAME_SIZE } from './types.ts';
import { zeroChunks } from './zeros.ts';

/*
 * The plain stream of a round of a live move (docs/reference/formats/pipe.md#rounds): parts of a disk, each a header of 16 bytes and, where
 * it is data, its bytes.
 *
 *   kind (1 byte: 1 data, 2 zeros) · 0 (3 bytes) · length (4 bytes, big-endian) · start on the disk (8 bytes, big-endian)
 */

const HEADER_BYTES = 16;
const KIND = { data: 1, zeros: 2 } as const;

/** Parts of a disk as a plain stream. */
export class PatchReader implements PlainReader, AsyncDisposable {
  readonly #chunks: AsyncGenerator<Uint8Array, void, undefined>;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(parts: AsyncGenerator<DiskPart, void, undefined>) {
    this.#chunks = chunksOf(parts);
  }

  async read(output: Uint8Array): Promise<number | undefined> {
    while (this.#chunk.length === 0) {
      const step = await this.#chunks.next();
      if (step.done === true) return undefined;
      this.#chunk = step.value;
    }
    const bytes = this.#chunk.subarray(0, output.length);
    output.set(bytes);
    this.#chunk = this.#chunk.subarray(bytes.length);
    return bytes.length;
  }

  /** Ends the reading of the disk. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return();
  }
}

async function* chunksOf(parts: AsyncGenerator<DiskPart, void, undefined>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const part of parts) {
    const isData = 'data' in part;
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt8(isData ? KIND.data : KIND.zeros, 0);
    header.writeUInt32BE(isData ? part.data.length : part.zeros, 4);
    header.writeBigUInt64BE(BigInt(part.at), 8);
    yield header;
    if (isData) yield part.data;
  }
}

/**
 * The reverse. The parts are in order, within the disk, and consist of complete blocks; data has at most 4 MiB.
 *
 * @throws FormatProblem for any other stream; the errors of `pieces`
 */
export async function* readPatches(
  pieces: AsyncIterable<PlainPiece>,
  disk: Pick<BlockDigests, 'blockBytes' | 'diskBytes'>,
): AsyncGenerator<DiskPart, void, undefined> {
  await using reader = new DumpReader(bytesOf(pieces));
  const header = Buffer.alloc(HEADER_BYTES);
  const buffer = Buffer.allocUnsafeSlow(FRAME_SIZE);
  for (let end = 0; !(await reader.atEnd());) {
    await reader.fill(header);
    const { kind, at, length } = parseHeader(header, disk);
    if (at < end) throw new FormatProblem(`a part at byte ${at} follows one that ends at byte ${end}`);
    end = at + length;
    if (kind === 'zeros') yield { at, zeros: length };
    else {
      const data = buffer.subarray(0, length);
      await reader.fill(data);
      yield { at, data };
    }
  }
}

interface PartHeader {
  readonly kind: keyof typeof KIND;
  readonly at: number;
  readonly length: number;
}

function parseHeader(header: Buffer, { blockBytes, diskBytes }: Pick<BlockDigests, 'blockBytes' | 'diskBytes'>): PartHeader {
  const code = header.readUInt8(0);
  const kind = code === KIND.data ? 'data' : code === KIND.zeros ? 'zeros' : undefined;
  const length = header.readUInt32BE(4);
  const at = Number(header.readBigUInt64BE(8));
  const end = at + length;
  const isAligned = at % blockBytes === 0 && (end % blockBytes === 0 || end === diskBytes);
  if (kind === undefined || length === 0 || end > diskBytes || !isAligned || (kind === 'data' && length > FRAME_SIZE))
    throw new FormatProblem(`it has an invalid part (kind ${code}) of ${length} bytes at byte ${at}`);
  return { kind, at, length };
}

async function* bytesOf(pieces: AsyncIterable<PlainPiece>): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const piece of pieces) {
    if (piece instanceof Uint8Array) yield piece;
    else yield* zeroChunks(piece.zeros);
  }
}
