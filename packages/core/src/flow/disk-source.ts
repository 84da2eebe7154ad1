import { GantryError } from '../report/errors.ts';
import type { DiskData, ExportScriptOptions } from '../scripts/export-script.ts';
import { runExportScript } from '../scripts/export-script.ts';
import type { SelectedOs } from '../scripts/select.ts';
import type { Snapshot } from '../snapshots/provider.ts';
import { DeviceReader } from '../disks/read-device.ts';
import { NbdReader } from '../disks/read-nbd.ts';
import type { ChangedFrames } from '../frames/changed-frames.ts';
import { ChangedReader } from '../frames/changed-reader.ts';
import type { ChangesReader, PartsReader } from '../frames/plain-reader.ts';

export interface DiskSourceOptions extends ExportScriptOptions {
  readonly view: Omit<Snapshot, 'index' | 'kind'>;
  /** Bytes of the disk, where known. */
  readonly diskBytes: number | undefined;
  /** Reads a device itself, past what the page cache keeps of it. */
  readonly skipCache?: boolean | undefined;
}

/** The plain data of one disk: what its export script writes, or, for the built-in `raw`, what the device holds. */
export function openDiskSource(os: SelectedOs, options: DiskSourceOptions): DiskData {
  if (!os.definition.builtin) return runExportScript(os, { ...options, ...checkingSnapshot(options) });
  const reader = openParts(options);
  return { ...rawData(reader, options), read: (output) => readIntact(reader, output, options.view) };
}

/** The changed frames of a disk, as the built-in `raw` reads it. */
export function openChangedDisk(changed: ChangedFrames, options: RawOptions): ChangedData {
  const parts = openParts(options);
  const reader = new ChangedReader(parts, changed);
  return { ...rawData(parts, options), read: (output) => readIntact(reader, output, options.view) };
}

type RawOptions = Pick<DiskSourceOptions, 'disk' | 'view' | 'signal' | 'diskBytes' | 'skipCache'>;

/** {@link DiskData} of which only what changed is read. */
export type ChangedData = ChangesReader & Omit<DiskData, 'read'>;

/** A disk as the built-in `raw` reads it, any part of it. */
export function openParts({
  disk,
  view,
  signal = new AbortController().signal,
  diskBytes,
  skipCache,
}: RawOptions): PartsReader & AsyncDisposable {
  if (view.nbd !== undefined) return new NbdReader({ ...view.nbd, bytes: diskBytes }, signal);
  return new DeviceReader(pathOf(disk, view), { skipCache });
}

function rawData(reader: AsyncDisposable, { diskBytes }: RawOptions): Omit<DiskData, 'read'> {
  return { expectedBytes: () => diskBytes, messages: () => [], [Symbol.asyncDispose]: async () => await reader[Symbol.asyncDispose]() };
}

function pathOf(disk: number, { descriptor, path }: DiskSourceOptions['view']): string {
  return descriptor === undefined ? (path ?? refuseUri(disk)) : `/proc/self/fd/${descriptor}`;
}

/** A snapshot that is lost can still give bytes, or fail to: what is said is why, and its last byte counts only if it is intact after that. */
async function readIntact<Piece>(
  reader: { read(output: Uint8Array): Promise<Piece | undefined> },
  output: Uint8Array,
  { assertIntact }: DiskSourceOptions['view'],
): Promise<Piece | undefined> {
  let piece: Piece | undefined;
  try {
    piece = await reader.read(output);
  } catch (error) {
    if (error instanceof GantryError) await assertIntact?.();
    throw error;
  }
  if (piece === undefined) await assertIntact?.();
  return piece;
}

/** A signal for the work on one disk: that of all, or the loss of its snapshot. */
export function untilLost({ lost }: Snapshot, signal: AbortSignal): AbortSignal {
  return lost === undefined ? signal : AbortSignal.any([signal, lost]);
}

/** A script that is given a snapshot by its name succeeds only if the name leads there before it starts, and when it has ended. */
function checkingSnapshot({ view: { assertIntact }, ...options }: DiskSourceOptions): Pick<DiskSourceOptions, 'beforeStart' | 'onEnd'> {
  if (assertIntact === undefined) return {};
  return {
    beforeStart: async () => {
      await options.beforeStart?.();
      await assertIntact();
    },
    onEnd: async (group) => {
      await options.onEnd?.(group);
      await assertIntact();
    },
  };
}

/** What to say of a source that gave nothing. A script that exits with 0 and writes nothing may have missed a failure of its own. */
export function describeEmptySource({ definition }: SelectedOs, diskBytes: number | undefined): string {
  if (definition.builtin) return 'the disk has 0 bytes: its dump is empty';
  const size = diskBytes === undefined ? '' : `, although the disk has ${diskBytes} bytes`;
  return `the export script of ${definition.name} succeeded but wrote nothing: the dump is empty${size}`;
}

/** @throws GantryError `DISK_KIND` */
export function refuseUri(disk: number): never {
  throw new GantryError('DISK_KIND', {
    message: `disk ${disk} has a URI and no path, and the built-in definition raw reads and writes paths alone`,
    hint: 'Attach the disk as a block device and give its path, or use an OS definition whose scripts know the URI.',
    disk,
  });
}
