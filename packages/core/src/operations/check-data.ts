import { compressionOf } from '../frames/compressed-magic.ts';
import type { PlainPiece } from '../frames/types.ts';
import { GantryError } from '../report/errors.ts';
import type { Reporter } from '../report/reporter.ts';

/*
 * What the first bytes for a disk tell, before it is touched.
 */

const MIB = 1024 * 1024;

/** What is known of one disk's data and of where it goes. */
export interface IncomingData {
  readonly disk: number;
  /** What it comes from, in words. */
  readonly from: string;
  /** Whether they are written as they are, by the built-in definition. */
  readonly isRaw: boolean;
  /** Bytes that will come, where known. */
  readonly plainBytes: number | undefined;
  /** MiB of the disk that was exported, rounded up, where known. */
  readonly originalSize: number | undefined;
  /** Bytes of the target, where known. */
  readonly targetBytes: number | undefined;
}

/**
 * Checks the beginning of one disk's data, `first`; undefined where it has no bytes at all. What Gantry exported is what the disk held, by its
 * digest; of Ganeti's exports that is not known.
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
 * Refuses a compressed file in the place of a disk's image, for an export that says nothing of what its disks held: somebody compressed
 * the dump by other means than its description says. One that is as long as the disk was is an image all the same, whatever it begins with; and what a script wrote, its
 * counterpart may well unpack.
 *
 * @throws GantryError `DUMP_DAMAGED`
 */
function assertNotCompressed(data: IncomingData, first: PlainPiece | undefined, reporter: Reporter): void {
  const compression = first instanceof Uint8Array ? compressionOf(first) : undefined;
  if (compression === undefined) return;
  const { disk, from, isRaw, plainBytes, originalSize } = data;
  const message = `what ${from} has for it begins like a file compressed with ${compression}, and not like a disk`;
  if (!isRaw) {
    reporter.warn(`${message}: the import script gets it as it is`, disk);
    return;
  }
  if (plainBytes !== undefined && originalSize !== undefined && Math.ceil(plainBytes / MIB) === originalSize) {
    reporter.warn(`${message}; but it is as long as the disk was, and so is taken for its image`, disk);
    return;
  }
  throw new GantryError('DUMP_DAMAGED', {
    message: `disk ${disk} was not written: ${message}`,
    hint: 'Set "compression" in config.ini, section [export], to how the dumps are compressed, or unpack the dump.',
    disk,
  });
}

/**
 * A dump of no bytes is what Ganeti leaves where its disk was full. No disk has such an image; a definition's own scripts may have
 * nothing to keep of a disk (swap, say), and Gantry's manifest says that there was nothing.
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
    hint: 'Take another export; an export that ran out of space leaves such dumps. --disk imports the others.',
    disk,
  });
}

/** Warns of an image that ended before the disk did: what ran out of space leaves that, too. */
export function warnOfCutDump(data: IncomingData | undefined, plainBytes: number, reporter: Reporter): void {
  if (data?.isRaw !== true || data.originalSize === undefined || plainBytes > (data.originalSize - 1) * MIB) return;
  const { disk, from, originalSize } = data;
  reporter.warn(`its dump in ${from} has ${plainBytes} bytes, and the disk had ${originalSize} MiB: it may have been cut short`, disk);
}

/** Warns of a GPT that was made for a disk of another size: its second table is not where it should be. */
export function warnOfGpt(
  { disk, isRaw, targetBytes }: Pick<IncomingData, 'disk' | 'isRaw' | 'targetBytes'>,
  first: PlainPiece | undefined,
  reporter: Reporter,
): void {
  if (!isRaw || targetBytes === undefined || !(first instanceof Uint8Array)) return;
  const described = gptDiskBytes(first);
  if (described === undefined || described === targetBytes) return;
  const place =
    described < targetBytes
      ? `which is not at the end of this one (${targetBytes} bytes)`
      : `beyond the end of this one (${targetBytes} bytes)`;
  reporter.warn(
    `its GPT is of a disk of ${described} bytes and has its second table there, ${place}; "sgdisk --move-second-header" on it moves it`,
    disk,
  );
}

/** Bytes of the disk that a GPT was made for: up to its second header (UEFI, 5.3.2), for the two sizes of sectors that there are. */
function gptDiskBytes(start: Uint8Array): number | undefined {
  const bytes = Buffer.from(start.buffer, start.byteOffset, start.byteLength);
  for (const sector of [512, 4096]) {
    if (bytes.length < sector + 40 || bytes.toString('latin1', sector, sector + 8) !== 'EFI PART') continue;
    return (Number(bytes.readBigUInt64LE(sector + 32)) + 1) * sector;
  }
  return undefined;
}
