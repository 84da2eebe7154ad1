import { detectCompression } from '../frames/compressed-magic.ts';
import type { PlainPiece } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';

/*
 * What the first bytes for a disk say about it, before it is written.
 */

const MIB = 1024 * 1024;

/** What is known of one disk's data and of where it goes. */
export interface IncomingData {
  readonly disk: number;
  /** What it comes from, in words. */
  readonly from: string;
  /** Whether the built-in definition writes the data as it is. */
  readonly isRaw: boolean;
  /** Bytes that will come, where known. */
  readonly plainBytes: number | undefined;
  /** MiB of the disk that was exported, rounded up, where known. */
  readonly originalSize: number | undefined;
  /** Bytes of the target, where known. */
  readonly targetBytes: number | undefined;
}

/**
 * Checks the beginning of one disk's data, `first`, which is undefined if there are no bytes. An export of Gantry holds what the disk held,
 * as its digest shows; an export of Ganeti may hold something else.
 *
 * @throws GantryError `DUMP_DAMAGED`
 */
export function checkIncoming(
  data: IncomingData | undefined,
  first: PlainPiece | undefined,
  origin: 'gantry' | 'ganeti',
  reporter: Reporter,
): void {
  if (data === undefined) return;
  if (first === undefined) assertMayBeEmpty(data, origin, reporter);
  if (origin === 'ganeti') assertNotCompressed(data, first, reporter);
  warnOfGpt(data, first, reporter);
}

/**
 * Refuses a compressed file in place of a disk's image, in an export without digests: somebody compressed the dump in another way than
 * its description says. A file exactly as long as the disk was is taken for an image, even if it begins like a compressed file. What an
 * export script wrote, its import script may unpack.
 *
 * @throws GantryError `DUMP_DAMAGED`
 */
function assertNotCompressed(data: IncomingData, first: PlainPiece | undefined, reporter: Reporter): void {
  const compression = first instanceof Uint8Array ? detectCompression(first) : undefined;
  if (compression === undefined) return;
  const { disk, from, isRaw, plainBytes, originalSize } = data;
  const message = `its data in ${from} begins like a file compressed with ${compression}, not like a disk`;
  if (!isRaw) {
    reporter.warn(`${message}: the import script gets it unchanged`, disk);
    return;
  }
  if (plainBytes !== undefined && originalSize !== undefined && Math.ceil(plainBytes / MIB) === originalSize) {
    reporter.warn(`${message}, but it is as long as the disk was: it is taken for the disk's image`, disk);
    return;
  }
  throw new GantryError('DUMP_DAMAGED', {
    message: `disk ${disk} was not written: ${message}`,
    hint: 'Set "compression" in config.ini, section [export], to how the dumps are compressed, or unpack the dump.',
    disk,
  });
}

/**
 * Ganeti leaves an empty dump if it runs out of space, and no disk has an empty image. The scripts of a definition may have nothing to keep
 * of a disk (swap, for example), and Gantry's manifest says so.
 *
 * @throws GantryError `DUMP_DAMAGED`
 */
function assertMayBeEmpty({ disk, from, isRaw }: IncomingData, origin: 'gantry' | 'ganeti', reporter: Reporter): void {
  const message = `its dump in ${from} is empty`;
  if (!isRaw || origin === 'gantry') {
    reporter.warn(`${message}: ${isRaw ? 'nothing is written' : 'the import script gets nothing'}`, disk);
    return;
  }
  throw new GantryError('DUMP_DAMAGED', {
    message: `disk ${disk} was not written: ${message}`,
    hint: 'Use another export: one that ran out of space has empty dumps. --disk imports the other disks.',
    disk,
  });
}

/** The same data; what its first piece shows against it is thrown before that is handed on. @throws as {@link checkIncoming} */
export async function* checkFirstPiece(
  pieces: AsyncIterable<PlainPiece>,
  data: IncomingData,
  origin: 'gantry' | 'ganeti',
  reporter: Reporter,
): AsyncGenerator<PlainPiece, void, undefined> {
  let isFirst = true;
  for await (const piece of pieces) {
    if (isFirst) checkIncoming(data, piece, origin, reporter);
    isFirst = false;
    yield piece;
  }
  if (isFirst) checkIncoming(data, undefined, origin, reporter);
}

/** Warns of an image that is shorter than the disk was: an export that ran out of space leaves such an image. */
export function warnOfCutDump(data: IncomingData | undefined, plainBytes: number, reporter: Reporter): void {
  if (data?.isRaw !== true || data.originalSize === undefined || plainBytes > (data.originalSize - 1) * MIB) return;
  const { disk, from, originalSize } = data;
  reporter.warn(`its dump in ${from} has ${plainBytes} bytes, and the disk had ${originalSize} MiB: it may have been cut short`, disk);
}

/** Warns of a GPT that was made for a disk of another size: its backup table is in the wrong place. */
export function warnOfGpt(
  { disk, isRaw, targetBytes }: Pick<IncomingData, 'disk' | 'isRaw' | 'targetBytes'>,
  first: PlainPiece | undefined,
  reporter: Reporter,
): void {
  if (!isRaw || targetBytes === undefined || !(first instanceof Uint8Array)) return;
  const described = gptDiskBytes(first);
  if (described === undefined || described === targetBytes) return;
  const place =
    described < targetBytes ? `not at the end of this disk (${targetBytes} bytes)` : `beyond the end of this disk (${targetBytes} bytes)`;
  reporter.warn(
    `its GPT was made for a disk of ${described} bytes, so its backup table is ${place}; "sgdisk --move-second-header" moves it`,
    disk,
  );
}

/** Bytes of the disk that a GPT was made for: up to its backup header (UEFI, 5.3.2), with either sector size. */
function gptDiskBytes(start: Uint8Array): number | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  for (const sector of [512, 4096]) {
    if (bytes.length < sector + 40 || bytes.toString('latin1', sector, sector + 8) !== 'EFI PART') continue;
    return (Number(bytes.readBigUInt64LE(sector + 32)) + 1) * sector;
  }
  return undefined;
}
