import { randomUUID } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { command } from './command.ts';

const KEEP_MS = 7 * 24 * 3_600_000;

export interface KeptDirectoryOptions {
  /** What it is, such as `postgres`: a directory for all of the kind. */
  readonly kind: string;
  /** The version of what it is made of: a name of a file. */
  readonly version: string;
  /** Makes it in a path that is missing. */
  readonly make: (path: string) => Promise<void>;
}

/**
 * A directory to copy from that is made once for all runs: in `$XDG_CACHE_HOME/gantry`, by default below `/var/cache`. It is there until no
 * test has used it for a week.
 *
 * @throws what `make` throws; what the file system throws
 */
export async function keptDirectory({ kind, version, make }: KeptDirectoryOptions): Promise<string> {
  const all = join(process.env['XDG_CACHE_HOME'] ?? '/var/cache', 'gantry', kind);
  const path = join(all, version);
  const now = new Date();
  const isThere = await utimes(path, now, now).then(
    () => true,
    () => false,
  );
  if (isThere) return path;
  await mkdir(all, { recursive: true });
  const unfinished = `${path}.${randomUUID()}`;
  try {
    await make(unfinished);
    // Else a power cut could leave files without their content under the name by which all later runs find them.
    await command('find', unfinished, '-exec', 'sync', '{}', '+');
    await rename(unfinished, path);
  } catch (error) {
    await rm(unfinished, { recursive: true, force: true });
    // Others may make it at the same time: the first one counts.
    if (!isInUse(error)) throw error;
  }
  await removeOld(all, now);
  return path;
}

function isInUse(error: unknown): boolean {
  return error instanceof Error && 'code' in error && (error.code === 'ENOTEMPTY' || error.code === 'EEXIST');
}

/** Those of other versions, and what a run that was killed left unfinished. */
async function removeOld(all: string, now: Date): Promise<void> {
  for (const name of await readdir(all)) {
    const { mtimeMs } = await stat(join(all, name)).catch(() => ({ mtimeMs: Infinity }));
    if (now.getTime() - mtimeMs > KEEP_MS) await rm(join(all, name), { recursive: true, force: true });
  }
}
