import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { GantryError } from '../report/errors.ts';
import { readSmallFile } from '../system/read-small-file.ts';
import type { Instance } from './model.ts';
import { parseInstance } from './parse-instance.ts';
import type { DocumentKind } from '../documents/read-yaml.ts';
import { readYaml } from '../documents/read-yaml.ts';
import { errorText } from '../report/error-text.ts';

/** Instance files, for {@link readYaml}. */
export const INSTANCE_FILE: DocumentKind = {
  what: 'instance',
  syntaxCode: 'INSTANCE_FILE_SYNTAX',
  hint: 'gantry schema prints the format of instance files.',
};

export interface LoadInstanceOptions {
  readonly signal?: AbortSignal | undefined;
  /** The primary node if the file does not say; this host's name when absent. */
  readonly hostName?: string | undefined;
}

/**
 * Reads an instance file, YAML or JSON (docs/reference/formats/instance-file.md). Relative paths in it are relative to its directory.
 *
 * @throws GantryError `INSTANCE_FILE_UNREADABLE`, `INSTANCE_FILE_SYNTAX`, `INSTANCE_INVALID`
 */
export async function loadInstanceFile(path: string, options: LoadInstanceOptions = {}): Promise<Instance> {
  options.signal?.throwIfAborted();
  const document = readYaml(decode(await read(path, options.signal), path), path, INSTANCE_FILE);
  return parseInstance(document.value, { baseDirectory: dirname(resolve(path)), hostName: options.hostName ?? hostname(), source: path });
}

async function read(path: string, signal: AbortSignal | undefined): Promise<Buffer> {
  try {
    return await readSmallFile(path, signal);
  } catch (error) {
    signal?.throwIfAborted();
    throw unreadable(path, errorText(error), error);
  }
}

function decode(bytes: Buffer, path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new GantryError('INSTANCE_FILE_SYNTAX', { message: `${path} is not UTF-8 text`, hint: 'Save it as UTF-8.', cause: error });
  }
}

function unreadable(path: string, reason: string, cause: unknown): GantryError {
  return new GantryError('INSTANCE_FILE_UNREADABLE', {
    message: `cannot read the instance file ${path}: ${reason}`,
    hint: 'Name a YAML or JSON file that describes the instance; gantry schema prints its format.',
    cause,
  });
}
