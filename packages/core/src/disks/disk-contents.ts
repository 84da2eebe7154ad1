import { findData } from '../system/sparse.ts';
import type { OpenDisk } from './open-disk.ts';
import { openDisk } from './open-disk.ts';

/*
 * What a disk contains, by the signatures at its start: enough to show a user what would be overwritten. Offsets and magic numbers are
 * from the formats' specifications (libblkid's src/superblocks and src/partitions list them all).
 */

/** Includes the last signature, of btrfs at 64 KiB, and the label after it. */
const HEAD_BYTES = 128 * 1024;
/** How much of the end must be zeros too before a disk counts as empty. */
const TAIL_BYTES = 64 * 1024;

interface Signature {
  readonly name: string;
  readonly offset: number;
  readonly magic: string;
  /** Offset and maximum size of the label that a user set; it ends at a zero byte or with spaces. */
  readonly label?: readonly [number, number];
}

/** In this order: formats that fill the disk come before those whose signature may be left over from older contents. */
const SIGNATURES: readonly Signature[] = [
  { name: 'qcow2 image', offset: 0, magic: 'QFI\u00FB' },
  { name: 'VMDK image', offset: 0, magic: 'KDMV' },
  { name: 'VHDX image', offset: 0, magic: 'vhdxfile' },
  { name: 'LUKS volume', offset: 0, magic: 'LUKS\u00BA\u00BE' },
  { name: 'LVM physical volume', offset: 536, magic: 'LVM2 001' },
  { name: 'RAID member (md)', offset: 4096, magic: '\u00FC\u004E\u002B\u00A9' },
  { name: 'XFS file system', offset: 0, magic: 'XFSB', label: [108, 12] },
  { name: 'Btrfs file system', offset: 65_600, magic: '_BHRfS_M', label: [65_835, 256] },
  { name: 'ext file system', offset: 1080, magic: '\u0053\u00EF', label: [1144, 16] },
  { name: 'swap space', offset: 4086, magic: 'SWAPSPACE2', label: [1052, 16] },
  { name: 'NTFS file system', offset: 3, magic: 'NTFS    ' },
  { name: 'exFAT file system', offset: 3, magic: 'EXFAT   ' },
  { name: 'FAT file system', offset: 82, magic: 'FAT32   ', label: [71, 11] },
  { name: 'FAT file system', offset: 54, magic: 'FAT1', label: [43, 11] },
  { name: 'squashfs file system', offset: 0, magic: 'hsqs' },
  { name: 'ISO 9660 file system', offset: 32_769, magic: 'CD001', label: [32_808, 32] },
  { name: 'GPT partition table', offset: 512, magic: 'EFI PART' },
  { name: 'GPT partition table', offset: 4096, magic: 'EFI PART' },
];

/**
 * What a disk contains now, in words, such as `ext file system "root"`, `empty` or `data of an unknown kind`.
 *
 * @throws GantryError `DISK_*` if it cannot be read; the signal's reason
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
  const found = SIGNATURES.find(({ offset, magic }) => head.toString('latin1', offset, offset + magic.length) === magic);
  if (found !== undefined) return `${found.name}${found.label === undefined ? '' : describeLabel(head, found.label)}`;
  return hasMbr(head) ? 'MBR partition table' : undefined;
}

function describeLabel(head: Buffer, [at, bytes]: readonly [number, number]): string {
  const label = head
    .toString('utf8', at, at + bytes)
    .replace(/\0[\s\S]*$/, '')
    .trim();
  return label === '' ? '' : ` ${JSON.stringify(label)}`;
}

/** FAT and NTFS have the boot signature too: so one of the four entries must be used, and all must be valid. */
function hasMbr(head: Buffer): boolean {
  if (head.length < 512 || head.readUInt16LE(510) !== 0xaa55) return false;
  const entries = [446, 462, 478, 494];
  const areValid = entries.every((at) => head[at] === 0 || head[at] === 0x80);
  return areValid && entries.some((at) => head[at + 4] !== 0 && head.readUInt32LE(at + 12) > 0);
}

async function readRange({ file, bytes }: OpenDisk, start: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(Math.min(length, bytes - start));
  const { bytesRead } = await file.read(buffer, 0, buffer.length, start);
  return buffer.subarray(0, bytesRead);
}
