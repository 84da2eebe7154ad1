import { StoreError } from './errors.ts';
import type { BeginOptions } from './store.ts';

/** A range of an object, bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
  readonly objectSize: number;
}

/**
 * Refuses a range that exceeds the object, or is not made of integers.
 *
 * @throws StoreError `invalid-range`
 */
export function assertRange(key: string, { offset, length, objectSize }: ByteRange): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= objectSize) return;
  throw new StoreError('invalid-range', { key, message: `cannot read ${length} bytes at ${offset} of ${key}: it has ${objectSize} bytes` });
}

/**
 * Refuses to append a range to a write whose digest somebody computes from the bytes that pass: these do not.
 *
 * @throws StoreError `unsupported`
 */
export function assertRangeCopy(key: string, digestBy: BeginOptions['digestBy']): void {
  if (digestBy === 'reader') return;
  throw new StoreError('unsupported', {
    key,
    message: `cannot append a range of another object to the write of ${key}: its SHA-256 is computed while it is written`,
    hint: "Begin the write with digestBy: 'reader'.",
  });
}
