import { describe, expect, test } from 'vitest';
import type { DiskPart } from './changed-blocks.ts';
import { FormatProblem } from './damage.ts';
import { PatchReader, readPatches } from './patch-stream.ts';
import type { PlainPiece } from './types.ts';

const KIB = 1024;
const DISK = { blockBytes: 64 * KIB, diskBytes: 10 * 64 * KIB + 100 };

async function* partsOf(...parts: readonly DiskPart[]): AsyncGenerator<DiskPart, void, undefined> {
  yield* parts;
}

/** The stream in pieces of an odd size, those of zeros as runs. */
async function* streamOf(...parts: readonly DiskPart[]): AsyncGenerator<PlainPiece, void, undefined> {
  await using reader = new PatchReader(partsOf(...parts));
  const output = Buffer.alloc(1009);
  for (let bytes = await reader.read(output); bytes !== undefined; bytes = await reader.read(output)) {
    const piece = Buffer.from(output.subarray(0, bytes));
    yield piece.every((byte) => byte === 0) ? { zeros: bytes } : piece;
  }
}

async function read(pieces: AsyncIterable<PlainPiece>): Promise<readonly DiskPart[]> {
  const found: DiskPart[] = [];
  for await (const part of readPatches(pieces, DISK)) found.push('data' in part ? { at: part.at, data: Buffer.from(part.data) } : part);
  return found;
}

const data = (at: number, blocks: number, fill = 1): DiskPart => ({ at: at * 64 * KIB, data: Buffer.alloc(blocks * 64 * KIB, fill) });

describe('a stream of parts', () => {
  test('is read as it was written', async () => {
    const parts = [data(0, 2), data(2, 1, 0), { at: 3 * 64 * KIB, zeros: 4 * 64 * KIB }, { at: 10 * 64 * KIB, data: Buffer.alloc(100, 7) }];
    expect(await read(streamOf(...parts))).toEqual(parts);
    expect(await read(streamOf())).toEqual([]);
  });

  test.each<[string, readonly DiskPart[]]>([
    ['goes beyond the disk', [data(10, 1)]],
    ['begins within a block', [{ at: 512, data: Buffer.alloc(64 * KIB) }]],
    ['ends within a block', [{ at: 0, zeros: 100 }]],
    ['is empty', [{ at: 0, zeros: 0 }]],
    ['comes too late', [data(4, 1), data(3, 1)]],
    ['overlaps the one before', [data(3, 2), { at: 4 * 64 * KIB, zeros: 64 * KIB }]],
  ])('with a part that %s is refused', async (_, parts) => {
    await expect(read(streamOf(...parts))).rejects.toThrow(FormatProblem);
  });

  test('of another kind, with too much data in a part, or that ends early is refused', async () => {
    const header = (kind: number, length: number): Buffer => {
      const bytes = Buffer.alloc(16);
      bytes.writeUInt8(kind, 0);
      bytes.writeUInt32BE(length, 4);
      return bytes;
    };
    const large = { blockBytes: 64 * KIB, diskBytes: 1024 ** 3 };
    const readAll = async (bytes: Buffer): Promise<void> => {
      async function* pieces(): AsyncGenerator<PlainPiece, void, undefined> {
        yield bytes;
      }
      for await (const _part of readPatches(pieces(), large));
    };
    await expect(readAll(header(3, 64 * KIB))).rejects.toThrow('invalid part (kind 3)');
    await expect(readAll(header(1, 8 * 1024 * KIB))).rejects.toThrow('invalid part (kind 1)');
    await expect(readAll(header(1, 64 * KIB))).rejects.toThrow('ends early');
    await expect(readAll(header(2, 64 * KIB).subarray(0, 10))).rejects.toThrow('ends early');
  });
});
