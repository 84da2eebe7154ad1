import type { EncodedDump, EncodeOptions } from '../frames/encode-dump.ts';
import { DEFAULT_BUDGET_BYTES } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { asInventoryFailure } from '../instances/instance-source.ts';
import type { InstanceTransfers, OutgoingInstance, SendOptions } from '../instances/inventory.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';
import { DEFAULT_PARALLEL_DISKS, reportPhases } from '../report/reporter.ts';
import type { DiskData } from '../scripts/export-script.ts';
import { sideBySide } from '../system/side-by-side.ts';
import type { DumpedDisk, OutgoingOptions } from './out.ts';
import { dumpDisk, encodeWhole } from './out.ts';

export interface SourceOutOptions
  extends Pick<OutgoingOptions, 'codec' | 'level' | 'take' | 'encode' | 'parallel'>, Pick<SendOptions, 'listen'> {
  readonly transfers: InstanceTransfers;
  /** Address of the source. */
  readonly source: string;
  readonly name: string;
  /** Indexes of the disks that the instance was described with. */
  readonly disks: readonly number[];
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
}

/** What is said to be the snapshot of a disk that its source held still. */
const SNAPSHOT = 'source';

/** Has the source of an instance send its disks. Resolves when the source says that all of them, and the whole, are complete. */
export async function receiveFromSource(options: SourceOutOptions): Promise<readonly DumpedDisk[]> {
  const { transfers, source, name, disks, listen, reporter, signal, parallel = DEFAULT_PARALLEL_DISKS } = options;
  try {
    await using outgoing = await transfers.send(name, { listen, signal, warn: (message) => reporter.warn(message) });
    if (outgoing.disks !== disks.length) {
      throw new GantryError('INVENTORY_FAILED', {
        message: `${name} has ${outgoing.disks} disks now, and had ${disks.length} when it was described`,
        hint: 'Export again.',
      });
    }
    const budget = new MemoryBudget(DEFAULT_BUDGET_BYTES);
    const dumps = await sideBySide(disks, parallel, signal, (disk, signal) =>
      reportPhases(reporter, disk, () => dumpOne(outgoing, disk, { ...options, budget, signal })),
    );
    await outgoing.complete({ signal });
    return dumps;
  } catch (error) {
    signal.throwIfAborted();
    throw asInventoryFailure(error, source);
  }
}

async function dumpOne(
  outgoing: OutgoingInstance,
  disk: number,
  options: SourceOutOptions & { readonly budget: MemoryBudget },
): Promise<DumpedDisk> {
  const { reporter, signal } = options;
  const expectedBytes = outgoing.diskBytes[disk];
  await using source = readerOf(outgoing.read(disk, { signal }), expectedBytes);
  const encode = (o: EncodeOptions): EncodedDump => (options.encode ?? encodeWhole)(disk, source, o);
  const summary = await dumpDisk(disk, source, { ...options, encode });
  if (expectedBytes !== undefined && summary.plainBytes !== expectedBytes) {
    throw new GantryError('INVENTORY_FAILED', {
      message: `disk ${disk} has ${expectedBytes} bytes, and ${summary.plainBytes} came`,
      hint: 'Export again.',
      disk,
    });
  }
  if (summary.plainBytes === 0) reporter.warn('its source sent nothing: the dump is empty', disk);
  return { index: disk, summary, expectedBytes, messages: [], snapshot: SNAPSHOT };
}

/** Chunks as they come, as a stream that fills the caller's memory. */
function readerOf(chunks: AsyncIterable<Uint8Array>, expectedBytes: number | undefined): DiskData {
  const iterator = chunks[Symbol.asyncIterator]();
  let rest: Uint8Array = new Uint8Array();
  return {
    async read(output) {
      while (rest.length === 0) {
        const step = await iterator.next();
        if (step.done === true) return undefined;
        rest = step.value;
      }
      const length = Math.min(rest.length, output.length);
      output.set(rest.subarray(0, length));
      rest = rest.subarray(length);
      return length;
    },
    expectedBytes: () => expectedBytes,
    messages: () => [],
    async [Symbol.asyncDispose]() {
      await iterator.return?.();
    },
  };
}
