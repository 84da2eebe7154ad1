import { Buffer } from 'node:buffer';
import type { FileLanes } from './file-lanes.ts';
import type { LaneFile } from './lane.ts';

/** How much may be asked for ahead over one lane, bytes: twice the channel's window, so that it never runs dry. */
const LANE_WINDOW_BYTES = 4 * 1024 * 1024;

interface Piece {
  readonly file: LaneFile;
  readonly offset: number;
  readonly memory: Buffer;
  readonly length: number;
  /** How many bytes came. */
  readonly came: Promise<number>;
}

/**
 * Gives the bytes of a file from `offset` to `end`, asking for many pieces ahead. A piece is the taker's until it asks for the next:
 * then its memory is used again. Ends early where the file does.
 */
export async function* readPieces(lanes: FileLanes, offset: number, end: number): AsyncGenerator<Buffer> {
  const ahead: Piece[] = [];
  const free: Buffer[] = [];
  let next = offset;
  let passed = 0;
  let turn = 0;
  const ask = (): void => {
    while (next < end && ahead.length < windowPieces(lanes)) {
      const file = lanes.files[turn % lanes.files.length] ?? lanes.first;
      turn += 1;
      const memory = free.pop() ?? Buffer.allocUnsafeSlow(lanes.first.client.dataBytes);
      const length = Math.min(memory.length, file.client.dataBytes, end - next);
      ahead.push(askPiece(file, next, memory, length));
      next += length;
    }
  };
  for (ask(); ahead.length > 0; ask()) {
    const piece = ahead.shift();
    if (piece === undefined) return;
    let came = await piece.came;
    // A server may give less than was asked for, and not only at the end of the file.
    while (came > 0 && came < piece.length) {
      const more = await piece.file.client.read(piece.file.handle, piece.offset + came, piece.memory.subarray(came, piece.length));
      if (more === 0) break;
      came += more;
    }
    if (came > 0) yield piece.memory.subarray(0, came);
    if (came < piece.length) return;
    free.push(piece.memory);
    lanes.passed((passed += came));
  }
}

function windowPieces({ files, first }: FileLanes): number {
  return files.length * Math.max(1, Math.floor(LANE_WINDOW_BYTES / first.client.dataBytes));
}

function askPiece(file: LaneFile, offset: number, memory: Buffer, length: number): Piece {
  const came = file.client.read(file.handle, offset, memory.subarray(0, length));
  // Waited for in its turn; a failure must not count as nobody's until then.
  came.catch(() => undefined);
  return { file, offset, memory, length, came };
}
