import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { NativeFile } from '@gantry/core/inventory';
import { errorText, MAX_NATIVE_BYTES } from '@gantry/core/inventory';
import type { Element } from '@xmldom/xmldom';
import { attribute, find, textOf } from './xml.ts';

/*
 * What a domain has besides its disks and its XML: the variables of its firmware, and the state of its TPM. Both are files of this host.
 */

export const NVRAM_NAME = 'nvram';
/** Files of a TPM: `swtpm.tpm2.tpm2-00.permall` is `tpm2/tpm2-00.permall` in the directory of the domain's UUID. */
const TPM_NAME = /^swtpm\.(?<directory>tpm1\.2|tpm2)\.(?<file>[0-9A-Za-z][0-9A-Za-z._-]*)$/;
const TPM_DIRECTORIES = ['tpm1.2', 'tpm2'];

/** Where libvirt keeps what is not configuration: of the system, or, as virGetUserConfigDirectory says, of a user's session. */
export function stateDirectoryOf(uri: string, { HOME = '', XDG_CONFIG_HOME = '' }: Readonly<Record<string, string | undefined>>): string {
  if (new URL(uri).pathname !== '/session') return '/var/lib/libvirt';
  return join(XDG_CONFIG_HOME === '' ? join(HOME, '.config') : XDG_CONFIG_HOME, 'libvirt');
}

/** The file of a domain's firmware variables; undefined where it has none, or they are not in a file. */
export function nvramFile(domain: Element): string | undefined {
  const nvram = find(domain, 'os', 'nvram');
  if ((attribute(nvram, 'type') ?? 'file') !== 'file') return undefined;
  const path = attribute(find(nvram, 'source'), 'file') ?? textOf(nvram);
  return path?.startsWith('/') === true ? path : undefined;
}

/** Where libvirt itself puts the variables of a domain's firmware. */
export function nvramPlace(stateDirectory: string, fileName: string): string {
  return join(stateDirectory, 'qemu/nvram', fileName);
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
  const take = async (name: string, path: string, secret: boolean, at = path): Promise<void> => {
    const content = await readBounded(at, left);
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
    await using opened = await openDirectory(path, warn);
    if (opened === undefined) continue;
    // Through the descriptor: the directory belongs to the user of swtpm, who might put another one in its place.
    const through = `/proc/self/fd/${opened.fd}`;
    for (const file of (await readdir(through)).toSorted()) {
      const name = `swtpm.${directory}.${file}`;
      if (tpmPlace(name) !== undefined && file !== '.lock') await take(name, join(path, file), true, join(through, file));
    }
  }
  return files;
}

/** @returns undefined for a directory that does not exist: a guest that was never started */
async function openDirectory(path: string, warn: (message: string) => void): Promise<FileHandle | undefined> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
  } catch (error) {
    if (!isCode(error, 'ENOENT')) warn(`${path} is left out of the description: ${whyUnread(error)}`);
    return undefined;
  }
}

/** @returns the content, nothing for a file that does not exist, or why it cannot be read */
async function readBounded(path: string, max: number): Promise<Uint8Array | string> {
  try {
    // A FIFO in its place must not block. The users of QEMU and swtpm own the directories: a link of theirs may lead to any file of root.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW);
    const stats = await file.stat();
    if (!stats.isFile()) return 'it is not a file';
    if (stats.size > max) return `a native description has at most ${MAX_NATIVE_BYTES} bytes`;
    const content = new Uint8Array(stats.size);
    const { bytesRead } = await file.read(content, 0, stats.size, 0);
    return content.subarray(0, bytesRead);
  } catch (error) {
    return isCode(error, 'ENOENT') ? new Uint8Array() : whyUnread(error);
  }
}

function whyUnread(error: unknown): string {
  // ENOTDIR: a link where a directory should be.
  return isCode(error, 'ELOOP') || isCode(error, 'ENOTDIR') ? 'it is a symbolic link, or not a directory' : errorText(error);
}

export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
