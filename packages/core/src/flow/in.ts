import type { PlainPiece } from '../frames/types.ts';
import { writeDisk } from './disk-target.ts';
import type { Session } from './session.ts';

/** The data of one disk on its way in. */
export interface DiskInput {
  readonly disk: number;
  readonly signal: AbortSignal;
  /** Plain bytes that will come, where known. */
  readonly expectedBytes: number | undefined;
  /** Checked plain data; `onProgress` is to be called with the bytes so far. */
  readonly pieces: (onProgress: (plainBytes: number, storedBytes: number) => void) => AsyncIterable<PlainPiece>;
  readonly forceInUse: boolean;
  /** Sees the first piece of the data, if there is any, before the disk is written; what it throws keeps the disk as it is. */
  readonly checkFirst: (piece: PlainPiece | undefined) => void;
  /** Called before anything can have been written. */
  readonly onTouch: () => void;
}

/** Writes one disk through its script, or by itself. Resolves when the data is durable. @returns bytes that came */
export async function receiveDisk(
  { os, instance, reporter, hooks }: Session,
  { disk, signal, expectedBytes, pieces, forceInUse, checkFirst, onTouch }: DiskInput,
): Promise<{ readonly plainBytes: number; readonly storedBytes: number }> {
  const report = reporter.progressOf(disk, () => expectedBytes);
  const total = { plainBytes: 0, storedBytes: 0 };
  const plain = pieces((plainBytes, storedBytes) => {
    Object.assign(total, { plainBytes, storedBytes });
    report(plainBytes, storedBytes);
  });
  const options = { ...hooks('import', { disk, signal }), signal, instance, disk, pieces: plain, forceInUse, checkFirst, onTouch };
  await writeDisk(os, options);
  report(total.plainBytes, total.storedBytes, true);
  return total;
}
