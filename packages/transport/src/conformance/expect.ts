import { inspect } from 'node:util';
import type { StoreErrorCode } from '../errors.ts';
import { isStoreError } from '../errors.ts';
import { firstFailure } from '../failures.ts';
import { ConformanceFailure } from './failure.ts';

/** @throws ConformanceFailure unless `condition` holds */
export function expect(condition: boolean, otherwise: string): asserts condition {
  if (!condition) throw new ConformanceFailure(otherwise);
}

export function expectEqual(actual: unknown, expected: unknown, what: string): void {
  const [got, wanted] = [show(actual), show(expected)];
  expect(got === wanted, `${what}: got ${got}, expected ${wanted}`);
}

/** Compares bytes, and reports the first difference. */
export function expectBytes(actual: Buffer, expected: Buffer, what: string): void {
  if (actual.equals(expected)) return;
  const first = expected.findIndex((byte, index) => byte !== actual[index]);
  throw new ConformanceFailure(
    `${what}: got ${actual.length} bytes, expected ${expected.length}; the first difference is at byte ${first < 0 ? expected.length : first}`,
  );
}

/** Runs `call`, which must reject with a `StoreError` of one of `codes`. */
export async function expectCode(call: () => unknown, codes: StoreErrorCode | readonly StoreErrorCode[], what: string): Promise<void> {
  const allowed = [codes].flat();
  const error = await rejectionOf(call, `${what} was not refused (${allowed.join(' or ')})`);
  expect(isStoreError(error) && allowed.includes(error.code), `${what}: got ${show(error)}, expected StoreError ${allowed.join(' or ')}`);
}

/** Runs `call`, which must reject with `reason` itself. */
export async function expectReason(call: () => unknown, reason: unknown, what: string): Promise<void> {
  const error = await rejectionOf(call, `${what} did not reject`);
  expect(error === reason, `${what}: rejected with ${show(error)}, not with the signal's reason ${show(reason)}`);
}

async function rejectionOf(call: () => unknown, otherwise: string): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    const first = firstFailure(error);
    if (first instanceof ConformanceFailure) throw first;
    return first;
  }
  throw new ConformanceFailure(otherwise);
}

/** A value as text for messages. */
export function show(value: unknown): string {
  if (isStoreError(value)) return `StoreError ${value.code} (${value.message})`;
  if (value instanceof Error) return `${value.name} (${value.message})`;
  return inspect(value, { depth: 4, breakLength: Infinity });
}
