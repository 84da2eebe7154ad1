import { StoreError } from './errors.ts';

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
