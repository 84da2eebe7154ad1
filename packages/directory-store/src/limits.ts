import { StoreError } from '@gantry/transport';
import type { Directory, Entry } from './file-system.ts';
import { isFileSystemError } from './file-system.ts';

/** Far more than a directory of a store ever has; sorting needs all of its names in memory. */
const MAX_DIRECTORY_ENTRIES = 250_000;

/**
 * The names in a directory, with an upper bound: a server may send names forever, and memory must not depend on it. A directory that was
 * removed in the meantime has none.
 *
 * @throws StoreError `unsupported` beyond {@link MAX_DIRECTORY_ENTRIES}
 */
export async function* boundedEntries(directory: Directory): AsyncGenerator<Entry, void, undefined> {
  let count = 0;
  try {
    for await (const batch of directory.entries()) {
      count += batch.length;
      if (count > MAX_DIRECTORY_ENTRIES) throw tooMany(directory);
      yield* batch;
    }
  } catch (error) {
    if (!isFileSystemError(error, 'missing')) throw error;
  }
}

function tooMany({ path }: Directory): StoreError {
  return new StoreError('unsupported', {
    message: `${path} has more than ${MAX_DIRECTORY_ENTRIES.toLocaleString('en')} entries`,
    hint: 'A store needs a directory of its own: check what else writes there, or distribute the exports over several stores.',
  });
}
