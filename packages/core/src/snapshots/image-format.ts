import type { SnapshotContext } from './provider.ts';

/** Says that what is exported of a disk is not what the file has that its image is in. @param format the name of QEMU's driver */
export function noteFormat(index: number, format: string, { note }: Pick<SnapshotContext, 'note'>): void {
  if (format !== 'raw') note?.(`disk ${index} is a ${format} image: its export is a plain image of what the guest sees`);
}
