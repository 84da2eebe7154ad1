import { describeContents } from '../disks/disk-contents.ts';
import type { Session } from './session.ts';

/** Formats of QEMU that `uri` can name, by what {@link describeContents} calls them. */
const FORMATS: Readonly<Record<string, string>> = { 'qcow2 image': 'qcow2', 'VMDK image': 'vmdk', 'VHDX image': 'vhdx' };

/**
 * Says which disks hold an image and are read as the files that they are. It only warns: the guest of a raw disk can write such a header
 * itself, so that its host would read any file that the header names.
 */
export async function warnOfImages({ os, instance, disks, reporter, signal }: Session): Promise<void> {
  if (!os.definition.builtin) return;
  for (const index of disks) {
    const path = instance.disks[index]?.path;
    if (path === undefined) continue;
    // What cannot be read is said by what reads it.
    const holds = await describeContents(path, signal).catch(() => '');
    const format = FORMATS[holds];
    if (format !== undefined)
      reporter.warn(
        `${path} holds a ${holds}, and is exported as it is: as a guest sees it, it would be uri: ${format}:${encodeURI(path)}`,
        index,
      );
  }
}
