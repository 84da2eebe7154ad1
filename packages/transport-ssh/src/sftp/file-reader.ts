import { Buffer } from 'node:buffer';
import type { FileSessions } from './file-sessions.ts';
import type { SessionFile } from './pooled-session.ts';

/** How many bytes may be requested ahead over one session: twice the channel's window, so that it never runs dry. */
const SESSION_WINDOW_BYTES = 4 * 1024 * 1024;

interface Piece {
  readonly file: SessionFile;
  readonly offset: number;
  readonly memory: Buffer;
  readonly length: number;
  /** How many bytes arrived. */
  readonly came: Promise<number>;
}

/**
 * Yields the bytes of a file from `offset` to `end`, with many requests in flight. A piece belongs to the consumer until it asks for the
 * next one; then its memory is reused. Ends early if the file does.
 */
export async function* readPieces(sessions: FileSessions, offset: number, end: number): AsyncGenerator<Buffer> {
  const ahead: Piece[] = [];
  const free: Buffer[] = [];
  let next = offset;
  let passed = 0;
  let turn = 0;
  const ask = (): void => {
    while (next < end && ahead.length < windowPieces(sessions)) {
      const file = sessions.files[turn % sessions.files.length] ?? sessions.first;
      turn += 1;
      const memory = free.pop() ?? Buffer.allocUnsafeSlow(sessions.first.client.dataBytes);
      const length = Math.min(memory.length, file.client.dataBytes, end - next);
      ahead.push(askPiece(file, next, memory, length));
      next += length;
    }
  };
  for (ask(); ahead.length > 0; ask()) {
    const piece = ahead.shift();
    if (piece === undefined) return;
    let came = await piece.came;
    // A server may return less than requested, not only at the end of the file.
    while (came > 0 && came < piece.length) {
      const more = await piece.file.client.read(piece.file.handle, piece.offset + came, piece.memory.subarray(came, piece.length));
      if (more === 0) break;
      came += more;
    }
    if (came > 0) yield piece.memory.subarray(0, came);
    if (came < piece.length) return;
    free.push(piece.memory);
    sessions.passed((passed += came));
  }
}

function windowPieces({ files, first }: FileSessions): number {
  return files.length * Math.max(1, Math.floor(SESSION_WINDOW_BYTES / first.client.dataBytes));
}

function askPiece(file: SessionFile, offset: number, memory: Buffer, length: number): Piece {
  const came = file.client.read(file.handle, offset, memory.subarray(0, length));
  // It is awaited later; until then, a failure must not count as unhandled.
  came.catch(() => undefined);
  return { file, offset, memory, length, came };
}
