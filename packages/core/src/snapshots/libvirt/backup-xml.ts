/** A disk of a domain in a backup. */
export interface BackupDisk {
  /** Such as `vda`. */
  readonly target: string;
  /** Path of a scratch file that libvirt makes and removes; a disk without one is left out. */
  readonly scratch?: string | undefined;
  /** The checkpoint to go on from: what changed since then is said in a bitmap of the name `bitmap`. */
  readonly since?: { readonly checkpoint: string; readonly bitmap: string } | undefined;
}

/** The description of a backup in pull mode (https://libvirt.org/formatbackup.html). Each disk is exported under the name of its target. */
export function backupXml(socket: string, disks: readonly BackupDisk[]): string {
  const lines = disks.map(diskXml);
  return [
    `<domainbackup mode='pull'><server transport='unix' socket='${escapeXml(socket)}'/><disks>`,
    ...lines,
    '</disks></domainbackup>',
    '',
  ].join('\n');
}

function diskXml({ target, scratch, since }: BackupDisk): string {
  const name = escapeXml(target);
  if (scratch === undefined) return `<disk name='${name}' backup='no'/>`;
  const increment =
    since === undefined
      ? ''
      : ` backupmode='incremental' incremental='${escapeXml(since.checkpoint)}' exportbitmap='${escapeXml(since.bitmap)}'`;
  return `<disk name='${name}' backup='yes' type='file' exportname='${name}'${increment}><scratch file='${escapeXml(scratch)}'/></disk>`;
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', "'": '&apos;', '"': '&quot;' };

export function escapeXml(text: string): string {
  return text.replaceAll(/[&<>'"]/g, (character) => ESCAPES[character] ?? character);
}
