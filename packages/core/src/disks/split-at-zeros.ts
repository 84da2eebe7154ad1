import { isZero } from '../frames/zeros.ts';

/** A part of a piece, from `start` up to `end`, bytes from the start of the piece. */
export interface PiecePart {
  readonly kind: 'data' | 'zeros';
  readonly start: number;
  readonly end: number;
}

/**
 * Splits a piece into parts of zeros and of data, at block boundaries of the disk: parts of zeros can become holes of a file.
 *
 * @param at where in the disk the piece starts, bytes
 * @param blockBytes the smallest size of a hole
 */
export function* splitAtZeros(piece: Uint8Array, at: number, blockBytes: number): Generator<PiecePart, void, undefined> {
  let partStart = 0;
  let partIsZero = false;
  let start = 0;
  while (start < piece.length) {
    const end = Math.min(piece.length, start + blockBytes - ((at + start) % blockBytes));
    const blockIsZero = isZeroBlock(piece, start, end);
    if (blockIsZero !== partIsZero) {
      if (start > partStart) yield { kind: partIsZero ? 'zeros' : 'data', start: partStart, end: start };
      partStart = start;
      partIsZero = blockIsZero;
    }
    start = end;
  }
  if (start > partStart) yield { kind: partIsZero ? 'zeros' : 'data', start: partStart, end: start };
}

/** Checks three bytes first: most blocks with data need no more. */
function isZeroBlock(piece: Uint8Array, start: number, end: number): boolean {
  return piece[start] === 0 && piece[(start + end) >> 1] === 0 && piece[end - 1] === 0 && isZero(piece.subarray(start, end));
}
