import { lstatSync, mkdirSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const WRITABLE_BY_OTHERS = 0o022;

/** Makes Node keep its compiled code for the next call, if there is a safe directory for it. `NODE_DISABLE_COMPILE_CACHE=1` turns it off. */
export function keepCompiledCode(): void {
  const uid = process.getuid?.();
  const directory = uid === undefined ? undefined : compileCacheDirectory(homedir(), uid);
  if (directory !== undefined) enableCompileCache(directory);
}

/**
 * The directory for compiled code below a home directory, created if it is missing. The code in it is run: only the user and root may be
 * able to write there or to replace the directory. So root does not use somebody else's home directory, which `sudo` may leave in HOME.
 *
 * @returns undefined if there is none or it is not safe: everything works without it
 */
export function compileCacheDirectory(home: string, uid: number): string | undefined {
  const cache = join(home, '.cache');
  const directory = join(cache, 'gantry');
  try {
    if (!isSafe(home, uid)) return undefined;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    return isSafe(cache, uid) && isSafe(directory, uid) ? directory : undefined;
  } catch {
    return undefined;
  }
}

function isSafe(directory: string, owner: number): boolean {
  const stats = lstatSync(directory);
  return stats.isDirectory() && (stats.uid === owner || stats.uid === 0) && (stats.mode & WRITABLE_BY_OTHERS) === 0;
}
