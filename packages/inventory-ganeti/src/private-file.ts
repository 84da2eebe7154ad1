import type { Stats } from 'node:fs';
import { open } from 'node:fs/promises';
import process from 'node:process';
import { InventoryError } from '@gantry/core/inventory';

const MAX_FILE_BYTES = 1024 * 1024;

export interface PrivateFileOptions {
  /** What the file is, such as `file of RAPI credentials`. */
  readonly what: string;
  /** Whether others must not read it either; nobody but its owner may write it in any case. */
  readonly secret: boolean;
}

/**
 * Reads a file that says whom to trust, or with which password: it belongs to this user or root, and nobody else can change it.
 *
 * @throws InventoryError `denied`
 */
export async function readPrivateFile(path: string, { what, secret }: PrivateFileOptions): Promise<string> {
  try {
    await using file = await open(path, 'r');
    const problem = problemOf(await file.stat(), secret);
    if (problem !== undefined)
      throw new InventoryError('denied', { message: `the ${what} ${path} ${problem.reason}`, hint: problem.hint(path) });
    return await file.readFile('utf8');
  } catch (cause) {
    if (cause instanceof InventoryError) throw cause;
    const reason = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause);
    throw new InventoryError('denied', { message: `cannot read the ${what} ${path}: ${REASONS[reason] ?? reason}`, cause });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'permission denied',
  EISDIR: 'it is a directory',
};

interface Problem {
  readonly reason: string;
  readonly hint: (path: string) => string;
}

function problemOf(stats: Stats, secret: boolean): Problem | undefined {
  const { mode, uid, size } = stats;
  if (!stats.isFile()) return { reason: 'is not a regular file', hint: () => 'Name a file.' };
  if (size > MAX_FILE_BYTES) return { reason: `has more than ${MAX_FILE_BYTES} bytes`, hint: () => 'Name another file.' };
  if (uid !== 0 && uid !== process.geteuid?.()) return { reason: 'belongs to another user', hint: (path) => `chown root ${path}` };
  if (secret && (mode & 0o077) !== 0) return { reason: 'can be read by other users', hint: (path) => `chmod 600 ${path}` };
  if ((mode & 0o022) !== 0) return { reason: 'can be written by other users', hint: (path) => `chmod go-w ${path}` };
  return undefined;
}
