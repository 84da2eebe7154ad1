import { findData } from '../system/sparse.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';

/*
 * What a disk holds, by the signatures at its start: enough to tell a user what would be overwritten. Offsets and marks are those of
 * the formats' own specifications (libblkid's src/superblocks and src/partitions name them all).
 */

/** As far as the farthest signature, that of btrfs at 64 KiB, and a label behind it. Bytes. */
const HEAD_BYTES = 128 * 1024;
/** As much of the end is looked at before a disk counts as empty. Bytes. */
const TAIL_BYTES = 64 * 1024;

interface Signature {
  readonly what: string;
  readonly at: number;
  readonly mark: string;
  /** Where a name stands that a user gave it: offset and most bytes, ended by a zero or spaces. */
  readonly label?: readonly [number, number];
}

/** In this order: what is written over the whole disk comes before what may be left of something older. */
const SIGNATURES: readonly Signature[] = [
  { what: 'qcow2 image', at: 0, mark: 'QFI\u00FB' },
  { what: 'VMDK image', at: 0, mark: 'KDMV' },
  { what: 'VHDX image', at: 0, mark: 'vhdxfile' },
  { what: 'LUKS volume', at: 0, mark: 'LUKS\u00BA\u00BE' },
  { what: 'LVM physical volume', at: 536, mark: 'LVM2 001' },
  { what: 'RAID member (md)', at: 4096, mark: '\u00FC\u004E\u002B\u00A9' },
  { what: 'XFS file system', at: 0, mark: 'XFSB', label: [108, 12] },
  { what: 'Btrfs file system', at: 65_600, mark: '_BHRfS_M', label: [65_835, 256] },
  { what: 'ext file system', at: 1080, mark: '\u0053\u00EF', label: [1144, 16] },
  { what: 'swap space', at: 4086, mark: 'SWAPSPACE2', label: [1052, 16] },
  { what: 'NTFS file system', at: 3, mark: 'NTFS    ' },
  { what: 'exFAT file system', at: 3, mark: 'EXFAT   ' },
  { what: 'FAT file system', at: 82, mark: 'FAT32   ', label: [71, 11] },
  { what: 'FAT file system', at: 54, mark: 'FAT1', label: [43, 11] },
  { what: 'squashfs file system', at: 0, mark: 'hsqs' },
  { what: 'ISO 9660 file system', at: 32_769, mark: 'CD001', label: [32_808, 32] },
  { what: 'GPT partition table', at: 512, mark: 'EFI PART' },
  { what: 'GPT partition table', at: 4096, mark: 'EFI PART' },
];

/**
 * What a disk holds now, in words, such as `ext file system "root"`, `empty` or `data of an unknown kind`.
 *
 * @throws GantryError `DISK_*` where it cannot be read; the reason of the signal
 */
export async function describeContents(path: string, signal: AbortSignal): Promise<string> {
  await using disk = await openDisk(path, 'read');
  if (disk.bytes === 0) return 'nothing: it has 0 bytes';
  if (disk.kind === 'file' && findData(disk.file.fd, 0) === undefined) return 'empty';
  const head = await readRange(disk, 0, HEAD_BYTES);
  signal.throwIfAborted();
  const known = describeHead(head);
  if (known !== undefined) return known;
  const tail = await readRange(disk, Math.max(0, disk.bytes - TAIL_BYTES), TAIL_BYTES);
  return [head, tail].every((bytes) => bytes.every((byte) => byte === 0))
    ? 'empty, or zeros at its start and end'
    : 'data of an unknown kind';
}

function describeHead(head: Buffer): string | undefined {
  const found = SIGNATURES.find(({ at, mark }) => head.toString('latin1', at, at + mark.length) === mark);
  if (found !== undefined) return `${found.what}${found.label === undefined ? '' : describeLabel(head, found.label)}`;
  return hasMbr(head) ? 'MBR partition table' : undefined;
}

function describeLabel(head: Buffer, [at, bytes]: readonly [number, number]): string {
  const label = head
    .toString('utf8', at, at + bytes)
    .replace(/\0[\s\S]*$/, '')
    .trim();
  return label === '' ? '' : ` ${JSON.stringify(label)}`;
}

/** The boot mark alone is in every FAT and NTFS too: one of the four entries must be used, and each must be possible. */
function hasMbr(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return false;
  const entries = [446, 462, 478, 494];
  const possible = entries.every((at) => head[at] === 0 || head[at] === 0x80);
  return possible && entries.some((at) => head[at + 4] !== 0 && head.readUInt32LE(at + 12) > 0);
}

async function readRange({ file, bytes }: OpenDisk, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.min(length, bytes - start));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  return buffer.subarray(0, bytesRead);
}
