import type { PlainPiece } from '../frames/types.ts';
import { refuseUri } from './disk-source.ts';
import type { ImportScriptOptions } from '../scripts/import-script.ts';
import { runImportScript } from '../scripts/import-script.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { runAndFlush } from './run-and-flush.ts';
import { writeDevice } from '../disks/write-device.ts';
import { assertStillUnused } from './target-use.ts';

export interface WriteDiskOptions extends ImportScriptOptions {
  readonly signal: AbortSignal;
  /** Writes although the disk is in use. */
  readonly forceInUse: boolean;
  /** Sees the first piece of the data, if there is any, before the disk is touched; what it throws keeps the disk as it is. */
  readonly checkFirst: (piece: PlainPiece | undefined) => void;
  /** Called before anything can have been written. */
  readonly onTouch: () => void;
}

/**
 * Gives the plain data of one disk to its import script, or, for the built-in `raw`, writes it to the device. Resolves when all of
 * it was taken and is durable. The disk stays untouched where its data has no beginning, or where somebody uses it by then.
 */
export async function writeDisk(os: SelectedOs, options: WriteDiskOptions): Promise<void> {
  const { instance, disk, signal, forceInUse, checkFirst, onTouch } = options;
  await using data = await readFirst(options.pieces);
  checkFirst(data.first);
  await assertStillUnused(instance, disk, { force: forceInUse, signal });
  if (!os.definition.builtin) {
    onTouch();
    await runAndFlush(instance, [disk], () => runImportScript(os, { ...options, pieces: data.pieces }));
    return;
  }
  const path = instance.disks[disk]?.path ?? refuseUri(disk);
  await writeDevice(path, touching(data.pieces, onTouch), { signal, forceInUse });
}

interface StartedData extends AsyncDisposable {
  readonly first: PlainPiece | undefined;
  /** All of them, the first too; to be read once. */
  readonly pieces: AsyncIterable<PlainPiece>;
}

async function readFirst(source: AsyncIterable<PlainPiece>): Promise<StartedData> {
  const iterator = source[Symbol.asyncIterator]();
  const start = await iterator.next();
  let held: typeof start | undefined = start;
  const replay: AsyncIterator<PlainPiece> = {
    next: async () => {
      const step = held ?? (await iterator.next());
      held = undefined;
      return step;
    },
    return: async () => (await iterator.return?.()) ?? { done: true, value: undefined },
  };
  return {
    first: start.done === true ? undefined : start.value,
    pieces: { [Symbol.asyncIterator]: () => replay },
    async [Symbol.asyncDispose]() {
      // Once somebody reads, the reader closes the source.
      if (held !== undefined) await iterator.return?.();
    },
  };
}

async function* touching(pieces: AsyncIterable<PlainPiece>, onTouch: () => void): AsyncGenerator<PlainPiece, void, undefined> {
  for await (const piece of pieces) {
    onTouch();
    yield piece;
  }
}
