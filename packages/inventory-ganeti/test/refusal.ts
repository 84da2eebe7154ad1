import { InventoryError } from '@gantry/core/inventory';

/** The password of RAPI in tests. */
export const PASSWORD = 'correct-horse';

/** What a call rejects with. @throws if it resolves, rejects with something else, or shows the password */
export async function refusal(call: () => Promise<unknown>): Promise<InventoryError> {
  const error = await call().then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof InventoryError)) throw new Error(`an InventoryError was expected, got ${String(error)}`);
  if (`${error.message} ${error.hint ?? ''}`.includes(PASSWORD)) throw new Error('the error shows the password');
  return error;
}
