import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { GantryError } from '../errors.ts';
import type { Instance } from './model.ts';
import { parseInstance } from './parse-instance.ts';
import { readYaml } from './read-yaml.ts';

/** Bytes. An instance file has some hundred; a parameter may hold a script or a key. */
const LARGEST_FILE = 1024 * 1024;

export interface LoadInstanceOptions {
  readonly signal?: AbortSignal | undefined;
  /** The primary node where the file names none; this host's name when absent. */
  readonly hostName?: string | undefined;
}

/**
 * Reads an instance file, YAML or JSON (docs/formats/instance-file.md). Paths in it count from its own directory.
 *
 * @throws GantryError `INSTANCE_FILE_UNREADABLE`, `INSTANCE_FILE_SYNTAX`, `INSTANCE_INVALID`
 */
export async function loadInstanceFile(path: string, options: LoadInstanceOptions = {}): Promise<Instance> {
  options.signal?.throwIfAborted();
  const document = readYaml(decode(await readBounded(path, options.signal), path), path);
  return parseInstance(document, { baseDirectory: dirname(resolve(path)), hostName: options.hostName ?? hostname(), source: path });
}

async function readBounded(path: string, signal: AbortSignal | undefined): Promise<Buffer> {
  try {
    // A named pipe without a writer would hold the open until one comes, and no signal could end that.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const stats = await file.stat();
    if (!stats.isFile()) throw unreadable(path, 'it is not a regular file');
    const buffer = Buffer.allocUnsafe(LARGEST_FILE + 1);
    let length = 0;
    for (;;) {
      signal?.throwIfAborted();
      const { bytesRead } = await file.read(buffer, length, buffer.length - length);
      if (bytesRead === 0) return buffer.subarray(0, length);
      length += bytesRead;
      if (length > LARGEST_FILE) throw unreadable(path, 'it has more than 1 MiB');
    }
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof GantryError) throw error;
    throw unreadable(path, error instanceof Error ? error.message : String(error), error);
  }
}

function decode(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new GantryError('INSTANCE_FILE_SYNTAX', { message: `${path}: it is not UTF-8 text`, hint: 'Save it as UTF-8.', cause: error });
  }
}

function unreadable(path: string, reason: string, cause?: unknown): GantryError {
  return new GantryError('INSTANCE_FILE_UNREADABLE', {
    message: `cannot read the instance file ${path}: ${reason}`,
    hint: 'Name a YAML or JSON file that describes the instance; docs/formats/instance-file.md has an example.',
    cause,
  });
}
