import { inDump } from '../frames/damage.ts';
import type { DumpProgress, PlainPiece } from '../frames/types.ts';
import { asInventoryFailure } from '../instances/instance-source.ts';
import type { InstanceTransfers, NewInstanceRequest } from '../instances/inventory.ts';
import { errorText } from '../report/error-text.ts';
import type { Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import type { Run } from '../runs/journal.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { NewInstanceRecord } from './notices.ts';
import { sum } from '../system/sum.ts';

/** One disk of a new instance, and where its data comes from. */
export interface FilledDisk {
  readonly index: number;
  /** The dump's name, for messages. */
  readonly dump: string;
  readonly expectedBytes: number | undefined;
  readonly pieces: (options: {
    readonly signal: AbortSignal;
    readonly onProgress: DumpProgress;
    readonly reporter: Reporter;
  }) => AsyncIterable<PlainPiece>;
}

export interface FillOptions {
  readonly run: Run;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /** Address of the source. */
  readonly source: string;
  readonly parallel: number | undefined;
}

/** How long removing a half-made instance may take, ms. */
const DISCARD_MS = 300_000;

/**
 * Has a source make an instance, and sends the data of its disks. Where that fails, what was made of it is removed, or a warning says that it is
 * still there.
 *
 * @returns plain bytes of all disks
 * @throws GantryError; the reason of the signal
 */
export async function fillNewInstance(
  transfers: InstanceTransfers,
  request: NewInstanceRequest,
  disks: readonly FilledDisk[],
  options: FillOptions,
): Promise<number> {
  const { run, signal, source } = options;
  const { token, instance } = request;
  const record: NewInstanceRecord = { kind: 'new-instance', source, name: instance.name, token };
  const note = await run.remember(record);
  try {
    const plainBytes = await makeAndFill(transfers, request, disks, options);
    await run.forget(note);
    return plainBytes;
  } catch (error) {
    if (await discard(transfers, request, options)) await run.forget(note);
    signal.throwIfAborted();
    throw asInventoryFailure(error, source);
  }
}

async function makeAndFill(
  transfers: InstanceTransfers,
  request: NewInstanceRequest,
  disks: readonly FilledDisk[],
  { reporter, signal, parallel = DEFAULT_PARALLEL_DISKS }: FillOptions,
): Promise<number> {
  for (const { index, expectedBytes } of disks) reporter.disk(index, 'waiting', expectedBytes);
  await using incoming = await transfers.create(request, { signal, warn: (message) => reporter.warn(message) });
  const bytes = await sideBySide(disks, parallel, signal, (disk, signal) =>
    reportPhases(reporter, disk.index, async () => {
      const report = reporter.progressOf(disk.index, () => disk.expectedBytes);
      const total = { plainBytes: 0, storedBytes: 0 };
      const onProgress: DumpProgress = (plainBytes, storedBytes) => {
        Object.assign(total, { plainBytes, storedBytes });
        report(plainBytes, storedBytes);
      };
      const pieces = disk.pieces({ signal, onProgress, reporter });
      await inDump(disk.dump, disk.index, incoming.write(disk.index, pieces, { signal }));
      report(total.plainBytes, total.storedBytes, true);
      return total.plainBytes;
    }),
  );
  await incoming.complete({ signal });
  return sum(bytes);
}

/** Whether nothing is left of the instance, nor will be. Never rejects. */
async function discard(transfers: InstanceTransfers, { instance, token }: NewInstanceRequest, options: FillOptions): Promise<boolean> {
  const { reporter, source } = options;
  try {
    const discarded = await transfers.discard(instance.name, token, { signal: AbortSignal.timeout(DISCARD_MS) });
    if (discarded === 'removed') reporter.warn(`${instance.name}, which was not complete, was removed from ${source}`);
    if (discarded === 'may-appear')
      reporter.warn(`${source} may still make ${instance.name}, with disks that are not complete: look there, and remove it`);
    return discarded !== 'may-appear';
  } catch (error) {
    reporter.warn(`${instance.name} may still be in ${source}, with disks that are not complete: remove it there (${errorText(error)})`);
    return false;
  }
}
