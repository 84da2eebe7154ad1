import { constants } from 'node:fs';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NativeFile } from '@gantry/core/inventory';
import { MAX_NATIVE_BYTES } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, find, textOf } from './xml.ts';

/*
 * What a domain has besides its disks and its XML: the variables of its firmware, and the state of its TPM. Both are files of this host.
 */

export const NVRAM_NAME = 'nvram';
/** Files of a TPM: `swtpm.tpm2.tpm2-00.permall` is `tpm2/tpm2-00.permall` in the directory of the domain's UUID. */
const TPM_NAME = /^swtpm\.(?<directory>tpm1\.2|tpm2)\.(?<file>[0-9A-Za-z][0-9A-Za-z._-]*)$/;
const TPM_DIRECTORIES = ['tpm1.2', 'tpm2'];

/** Where libvirt keeps what is not configuration. */
export const STATE_DIRECTORY = '/var/lib/libvirt';

/** The file of a domain's firmware variables; undefined where it has none, or they are not in a file. */
export function nvramFile(domain: Element): string | undefined {
  const nvram = find(domain, 'os', 'nvram');
  const path = attribute(find(nvram, 'source'), 'file') ?? textOf(nvram);
  return path?.startsWith('/') === true ? path : undefined;
}

/** Whether a domain has a TPM that swtpm emulates, and keeps its state. */
export function hasTpmState(domain: Element): boolean {
  return attribute(find(domain, 'devices', 'tpm', 'backend'), 'type') === 'emulator';
}

export function tpmDirectory(stateDirectory: string, uuid: string): string {
  return join(stateDirectory, 'swtpm', uuid);
}

/** Where a native file of a TPM belongs, below {@link tpmDirectory}. */
export function tpmPlace(name: string): readonly [directory: string, file: string] | undefined {
  const { directory, file } = TPM_NAME.exec(name)?.groups ?? {};
  return directory === undefined || file === undefined ? undefined : [directory, file];
}

export interface ReadStateOptions {
  readonly domain: Element;
  readonly uuid: string;
  readonly stateDirectory: string;
  /** Bytes that its XML leaves of what a native description may have. */
  readonly bytes: number;
  readonly warn: (message: string) => void;
}

/** Reads what can be read; of the rest the user is warned. */
export async function readStateFiles({ domain, uuid, stateDirectory, bytes, warn }: ReadStateOptions): Promise<readonly NativeFile[]> {
  const files: NativeFile[] = [];
  let left = bytes;
  const take = async (name: string, path: string, secret: boolean): Promise<void> => {
    const content = await readBounded(path, left);
    if (typeof content === 'string') return warn(`${path} is left out of the description: ${content}`);
    if (content.length === 0) return;
    left -= content.length;
    files.push({ name, secret, bytes: content });
  };
  const nvram = nvramFile(domain);
  if (nvram !== undefined) await take(NVRAM_NAME, nvram, false);
  if (!hasTpmState(domain)) return files;
  for (const directory of TPM_DIRECTORIES) {
    const path = join(tpmDirectory(stateDirectory, uuid), directory);
    for (const file of await listFiles(path, warn)) {
      const name = `swtpm.${directory}.${file}`;
      if (tpmPlace(name) !== undefined && file !== '.lock') await take(name, join(path, file), true);
    }
  }
  return files;
}

/** @returns nothing for a directory that does not exist: a guest that was never started */
async function listFiles(path: string, warn: (message: string) => void): Promise<readonly string[]> {
  try {
    return (await readdir(path)).toSorted();
  } catch (error) {
    if (!isCode(error, 'ENOENT')) warn(`${path} is left out of the description: ${reason(error)}`);
    return [];
  }
}

/** @returns the content, nothing for a file that does not exist, or why it cannot be read */
async function readBounded(path: string, max: number): Promise<Uint8Array | string> {
  try {
    // A FIFO in its place must not block.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) return 'it is not a file';
    if (stats.size > max) return `a native description has at most ${MAX_NATIVE_BYTES} bytes`;
    const content = new Uint8Array(stats.size);
    const { bytesRead } = await file.read(content, 0, stats.size, 0);
    return content.subarray(0, bytesRead);
  } catch (error) {
    return isCode(error, 'ENOENT') ? new Uint8Array() : reason(error);
  }
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}

export function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
