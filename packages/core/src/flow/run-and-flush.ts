import { HeldDisk } from '../disks/held-disk.ts';
import type { Instance } from '../instances/model.ts';

/**
 * Runs a script that may write to these disks of the instance, by index, and then makes durable what it wrote: scripts leave their data
 * in the system's memory more often than not. A disk that has a URI alone is for its script to make durable.
 *
 * @throws what `script` throws; GantryError `DISK_IO` and others where a disk cannot be flushed
 */
export async function runAndFlush<T>({ disks }: Instance, indexes: readonly number[], script: () => Promise<T>): Promise<T> {
  const paths = indexes.flatMap((index) => disks[index]?.path ?? []);
  await using stack = new AsyncDisposableStack();
  const held: HeldDisk[] = [];
  for (const path of paths) held.push(stack.use(await HeldDisk.open(path)));
  const outcome = await script();
  await Promise.all(held.map((disk) => disk.flush()));
  return outcome;
}
