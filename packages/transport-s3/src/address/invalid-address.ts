import { StoreError } from '@gantry/transport';

/** An error that says what is wrong with an address, and how to write it. Must never repeat a value that could be a secret. */
export function invalidAddress(message: string, hint: string): StoreError {
  return new StoreError('invalid-address', { message, hint });
}
