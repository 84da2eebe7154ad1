import { mkdir, open, readFile, rm, rmdir, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { NativeFile } from '@gantry/core/inventory';
import { errorText, InventoryError } from '@gantry/core/inventory';
import { isCode, NVRAM_NAME, tpmDirectory, tpmPlace } from '../state-files.ts';

/** A file that a domain needs besides its disks, and where it belongs. */
export interface StateFile {
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface StatePlan {
  readonly files: readonly StateFile[];
  /** Must not exist, since nothing is put there, and the domain would use what another one left. */
  readonly absent: readonly string[];
}

/**
 * Where the state of a domain belongs.
 * @param nvram the file for the variables of its firmware, if it has such a file
 * @param hasTpm whether it has a TPM with a state
 */
export function planState(
  native: readonly NativeFile[],
  {
    nvram,
    hasTpm,
    uuid,
    stateDirectory,
  }: { readonly nvram: string | undefined; readonly hasTpm: boolean; readonly uuid: string; readonly stateDirectory: string },
): StatePlan {
  const files: StateFile[] = [];
  const variables = native.find(({ name }) => name === NVRAM_NAME);
  if (nvram !== undefined && variables !== undefined) files.push({ path: nvram, bytes: variables.bytes });
  const directory = tpmDirectory(stateDirectory, uuid);
  const tpm = hasTpm
    ? native.flatMap(({ name, bytes }) => {
        const place = tpmPlace(name);
        return place === undefined ? [] : [{ path: join(directory, ...place), bytes }];
      })
    : [];
  return {
    files: [...files, ...tpm],
    absent: [...(nvram !== undefined && variables === undefined ? [nvram] : []), ...(hasTpm && tpm.length === 0 ? [directory] : [])],
  };
}

/** As libvirt makes them: the users of guests and of swtpm, to whom it gives the files, must get through. */
const DIRECTORY_MODE = 0o711;

/** @throws InventoryError `exists` where something else is at a place already */
export async function assertFree({ files, absent }: StatePlan): Promise<void> {
  for (const { path, bytes } of files) if ((await contentAt(path, bytes)) === 'other') throw exists(path);
  for (const path of absent) if (await isThere(path)) throw exists(path);
}

/**
 * Puts files in place, mode 0600: never over another one; one with the same content stays as it is. libvirt gives them to the user of
 * its guests when one starts.
 * @returns takes them away again
 * @throws InventoryError `exists`, `failed`; then nothing is left
 */
export async function placeState({ files }: StatePlan): Promise<() => Promise<void>> {
  const made: (() => Promise<void>)[] = [];
  const undo = async (): Promise<void> => {
    for (const each of made.toReversed()) await each();
  };
  try {
    for (const { path, bytes } of files) {
      await makeDirectories(dirname(path), made);
      if ((await contentAt(path, bytes)) !== 'same') await create(path, bytes, made);
    }
    return undo;
  } catch (error) {
    await undo();
    throw error instanceof InventoryError
      ? error
      : new InventoryError('failed', { message: `cannot put the state of the domain in place: ${errorText(error)}`, cause: error });
  }
}

async function create(path: string, bytes: Uint8Array, made: (() => Promise<void>)[]): Promise<void> {
  const file = await open(path, 'wx', 0o600).catch((error: unknown) => {
    throw isCode(error, 'EEXIST') ? exists(path) : error;
  });
  made.push(() => rm(path, { force: true }));
  try {
    await file.writeFile(bytes);
    await file.sync();
  } finally {
    await file.close();
  }
}

async function makeDirectories(path: string, made: (() => Promise<void>)[]): Promise<void> {
  if (await isThere(path)) return;
  await makeDirectories(dirname(path), made);
  await mkdir(path, { mode: DIRECTORY_MODE });
  made.push(() => rmdir(path).catch(() => undefined));
}

async function contentAt(path: string, bytes: Uint8Array): Promise<'nothing' | 'same' | 'other'> {
  const stats = await statOf(path);
  if (stats === undefined) return 'nothing';
  return stats.isFile() && stats.size === bytes.length && (await readFile(path)).equals(bytes) ? 'same' : 'other';
}

async function isThere(path: string): Promise<boolean> {
  return (await statOf(path)) !== undefined;
}

async function statOf(path: string): Promise<Awaited<ReturnType<typeof stat>> | undefined> {
  return await stat(path).catch((error: unknown) => {
    if (isCode(error, 'ENOENT')) return undefined;
    throw new InventoryError('failed', { message: `cannot look at ${path}: ${errorText(error)}`, cause: error });
  });
}

function exists(path: string): InventoryError {
  return new InventoryError('exists', {
    message: `${path} exists already: it belongs to another domain, or was left by one`,
    hint: 'Move it away if no domain uses it.',
  });
}
