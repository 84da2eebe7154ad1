import { StoreError } from './errors.ts';

/** A range of an object, bytes. */
export interface ByteRange {
  readonly offset: number;
  readonly length: number;
  readonly objectSize: number;
}

/**
 * Refuses a range that is not wholly inside the object, or is not made of whole numbers.
 *
 * @throws StoreError `invalid-range`
 */
export function assertRange(key: string, { offset, length, objectSize }: ByteRange): void {
  if (Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0 && offset + length <= objectSize) return;
  throw new StoreError('invalid-range', { key, message: `${key} has ${objectSize} bytes: there are no ${length} bytes from ${offset} on` });
}
