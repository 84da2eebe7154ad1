import { StoreError } from '@gantry/transport';

/** What is wrong with an address, and how it must be written. Neither may repeat a value that could be a secret. */
export function invalidAddress(message: string, hint: string): StoreError {
  return new StoreError('invalid-address', { message, hint });
}
