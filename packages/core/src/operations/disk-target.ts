import type { PlainPiece } from '../frames/types.ts';
import { refuseUri } from './disk-source.ts';
import type { ImportScriptOptions } from '../scripts/import-script.ts';
import { runImportScript } from '../scripts/import-script.ts';
import type { SelectedOs } from '../scripts/select.ts';
import { runAndFlush } from './run-and-flush.ts';
import { writeDevice } from '../disks/write-device.ts';

/**
 * Gives the plain data of one disk to its import script, or, for the built-in `raw`, writes it to the device. Resolves when all of
 * it was taken and is durable. `onTouch` is called before anything can have been written.
 */
export async function writeDisk(os: SelectedOs, options: ImportScriptOptions, onTouch: () => void): Promise<void> {
  if (!os.definition.builtin) {
    onTouch();
    await runAndFlush(options.instance, [options.disk], () => runImportScript(os, options));
    return;
  }
  const path = options.instance.disks[options.disk]?.path ?? refuseUri(options.disk);
  await writeDevice(path, touching(options.pieces, onTouch), { signal: options.signal ?? new AbortController().signal });
}

async function* touching(pieces: AsyncIterable<PlainPiece>, onTouch: () => void): AsyncGenerator<PlainPiece, void, undefined> {
  for await (const piece of pieces) {
    onTouch();
    yield piece;
  }
}
