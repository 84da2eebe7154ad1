import { isStoreError } from '@gantry/transport';

/** A listing of a place that need not be there: the first write makes it, and until then there is nothing in it. */
export async function* orNothing<T>(listing: AsyncIterable<T>): AsyncGenerator<T, void, undefined> {
  try {
    yield* listing;
  } catch (error) {
    if (!isStoreError(error, 'not-found')) throw error;
  }
}
