import { lstatSync, mkdirSync } from 'node:fs';
import { enableCompileCache } from 'node:module';
import { homedir } from 'node:os';
import { join } from 'node:path';

const WRITABLE_BY_OTHERS = 0o022;

/** Has Node keep what it compiled for the next call, where there is a place for it that is safe. `NODE_DISABLE_COMPILE_CACHE=1` forbids it. */
export function keepCompiledCode(): void {
  const uid = process.getuid?.();
  const directory = uid === undefined ? undefined : compileCacheDirectory(homedir(), uid);
  if (directory !== undefined) enableCompileCache(directory);
}

/**
 * The directory for compiled code below a home, made where it is missing. What is in it is run: nobody but the user (and root) may be able
 * to write there, nor to put another directory in its place. So root does not use the home of somebody else, which `sudo` may leave it.
 *
 * @returns undefined where there is none, or it is not safe: everything works without
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
