import { chmod, chown, mkdir, open } from 'node:fs/promises';

import { procOwner } from './proc-owner.ts';

export interface ScratchFile {
  readonly path: string;
  /** Bytes, all of them a hole at first. */
  readonly size: number;
}

/**
 * Makes the directory, which must not be there yet, and sparse files in it, for the user of the QEMU alone.
 * @param pid of the QEMU; where it is not known, they stay ours
 */
export async function makeScratch(directory: string, files: readonly ScratchFile[], pid: number | undefined): Promise<void> {
  await mkdir(directory, { mode: 0o700 });
  const owner = pid === undefined ? undefined : await procOwner(pid);
  for (const { path, size } of files) {
    await using file = await open(path, 'wx', 0o600);
    await file.truncate(size);
    if (owner !== undefined) await file.chown(owner.uid, owner.gid);
  }
  if (owner !== undefined) await chown(directory, owner.uid, owner.gid);
  await chmod(directory, 0o700);
}
