/** A disk of a domain in a backup. */
export interface BackupDisk {
  /** Such as `vda`. */
  readonly target: string;
  /** Path of a scratch file that libvirt makes and removes; a disk without one is left out. */
  readonly scratch?: string | undefined;
}

/** The description of a backup in pull mode (https://libvirt.org/formatbackup.html). Each disk is exported under the name of its target. */
export function backupXml(socket: string, disks: readonly BackupDisk[]): string {
  const lines = disks.map(({ target, scratch }) =>
    scratch === undefined
      ? `<disk name='${escapeXml(target)}' backup='no'/>`
      : `<disk name='${escapeXml(target)}' backup='yes' type='file' exportname='${escapeXml(target)}'><scratch file='${escapeXml(scratch)}'/></disk>`,
  );
  return [
    `<domainbackup mode='pull'><server transport='unix' socket='${escapeXml(socket)}'/><disks>`,
    ...lines,
    '</disks></domainbackup>',
    '',
  ].join('\n');
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '"': '&quot;' };

function escapeXml(text: string): string {
  return text.replaceAll(/[&<>'"]/g, (character) => ESCAPES[character] ?? character);
}
