import { execFile } from 'node:child_process';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

export interface Ramfs extends AsyncDisposable {
  /** A path in it; does not create the file. */
  file(name: string): string;
}

/** Mounts a file system without holes and fallocate(2) on a new directory. Needs root. */
export async function mountRamfs(path: string): Promise<Ramfs> {
  await mkdir(path);
  await run('mount', ['-t', 'ramfs', 'ramfs', path]);
  return {
    file: (name) => join(path, name),
    [Symbol.asyncDispose]: async () => void (await run('umount', [path])),
  };
}
