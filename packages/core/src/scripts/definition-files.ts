import { constants } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';

import { systemErrorCode } from '../system/errno-name.ts';

/** Far more than any list of variants or parameters needs. */
const MAX_TEXT_BYTES = 1024 * 1024;

/** One file of a definition: its content, or that it is absent, or one clause about what is wrong with it. */
export type FileFinding<T> =
  | { readonly kind: 'found'; readonly value: T }
  | { readonly kind: 'absent' }
  | { readonly kind: 'bad'; readonly reason: string };

/** Why a directory cannot be read, as one clause; undefined where it can. */
export async function directoryProblem(directory: string): Promise<string | undefined> {
  try {
    return (await stat(directory)).isDirectory() ? undefined : 'it is not a directory';
  } catch (error) {
    const code = systemErrorCode(error);
    return code === 'ENOENT' ? 'it is a dangling symbolic link' : `its directory cannot be read (${code})`;
  }
}

/** The lines of a text file of a definition, trimmed; includes empty lines. */
export async function readLines(directory: string, file: string): Promise<FileFinding<readonly string[]>> {
  try {
    // Opening must not wait on a named pipe that somebody may have put there.
    await using handle = await open(join(directory, file), constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await handle.stat();
    if (!stats.isFile()) return bad(`${file} is not a regular file`);
    if (stats.size > MAX_TEXT_BYTES) return bad(`${file} is larger than 1 MiB`);
    const text = await handle.readFile('utf8');
    return { kind: 'found', value: text.split(/\r\n|\n|\r/).map((line) => line.trim()) };
  } catch (error) {
    return failed(file, error);
  }
}

/** The absolute path of an executable script: a regular file, or a link to one, with its owner's execute bit. */
export async function findScript(directory: string, script: string): Promise<FileFinding<string>> {
  const path = join(directory, script);
  try {
    const stats = await stat(path);
    if (!stats.isFile()) return bad(`${script} is not a regular file`);
    if ((stats.mode & constants.S_IXUSR) === 0) return bad(`${script} is not executable by its owner`);
    return { kind: 'found', value: path };
  } catch (error) {
    return failed(script, error);
  }
}

function failed(file: string, error: unknown): FileFinding<never> {
  const code = systemErrorCode(error);
  return code === 'ENOENT' ? { kind: 'absent' } : bad(`${file} cannot be read (${code})`);
}

function bad(reason: string): FileFinding<never> {
  return { kind: 'bad', reason };
}
