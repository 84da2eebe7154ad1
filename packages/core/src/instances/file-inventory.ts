import { readdir, stat } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { CallOptions } from '@gantry/transport';
import { errorText } from '../report/error-text.ts';
import { nearestNames, didYouMean } from '../report/nearest.ts';
import type {
  InstanceDescription,
  InstanceSource,
  InstanceSummary,
  Inventory,
  ListInstancesOptions,
  OpenInventoryOptions,
} from './inventory.ts';
import { isListed } from './instance-filter.ts';
import type { InventoryErrorDetails } from './inventory-error.ts';
import { InventoryError } from './inventory-error.ts';
import { loadInstanceFile } from './load-instance-file.ts';
import type { Instance } from './model.ts';

/** What instance files in a directory are called. */
const INSTANCE_FILE = /^[^.].*\.(yaml|yml|json)$/i;

/** Beyond this many files it is not a directory of instance files. */
const MAX_FILES = 10_000;

/**
 * A directory of instance files. An instance in it goes by its file's name, or else by its own. The files do not say whether an instance
 * runs: what guards its disks is that nobody has them open.
 */
class InstanceDirectory implements InstanceSource {
  readonly address: string;
  readonly #warn: (message: string) => void;

  constructor(directory: string, warn: (message: string) => void) {
    this.address = directory;
    this.#warn = warn;
  }

  async *list(options: ListInstancesOptions = {}): AsyncGenerator<InstanceSummary> {
    const { signal, onProblem = (error: unknown): void => this.#warn(errorText(error)) } = options;
    const found = Map.groupBy(await Array.fromAsync(this.#load(signal, onProblem)), ({ instance }) => instance.name);
    for (const [name, [first, ...others]] of found) {
      if (first === undefined) continue;
      for (const { file } of others) onProblem(new InventoryError('ambiguous', sameName(name, first.file, file)));
      // Which of several files is meant, nobody knows: then the name alone is ambiguous.
      const key = others.length === 0 ? basename(first.file) : undefined;
      if (isListed(first.instance, options)) yield { ...summaryOf(first.instance), ...(key === undefined ? {} : { key }) };
      signal?.throwIfAborted();
    }
  }

  async describe(name: string, { signal }: CallOptions = {}): Promise<InstanceDescription> {
    signal?.throwIfAborted();
    if (name === '' || name === '.' || name === '..' || /[/\0]/.test(name)) throw this.#notFound(name, []);
    const path = join(this.address, name);
    // What is called like a file is one, so that a file that is missing is reported as that.
    const isFile = INSTANCE_FILE.test(name) || (await exists(path));
    return describeFile(isFile ? await loadInstanceFile(path, { signal }) : await this.#find(name, signal));
  }

  async [Symbol.asyncDispose](): Promise<void> {}

  async #find(name: string, signal: AbortSignal | undefined): Promise<Instance> {
    const found: { file: string; instance: Instance }[] = [];
    const others: string[] = [];
    let unreadable = 0;
    for await (const loaded of this.#load(signal, () => (unreadable += 1))) {
      if (loaded.instance.name === name) found.push(loaded);
      else others.push(loaded.instance.name);
    }
    const [first, ...more] = found;
    if (first === undefined) throw this.#notFound(name, nearestNames(name, others), unreadable);
    if (more.length === 0) return first.instance;
    throw new InventoryError('ambiguous', {
      message: `${found.length} instance files describe ${name}`,
      details: found.map(({ file }) => file),
      hint: 'Name the file.',
    });
  }

  /** Every instance file that can be read; `skip` is called with the errors of others. */
  async *#load(signal: AbortSignal | undefined, skip: (error: unknown) => void): AsyncGenerator<{ file: string; instance: Instance }> {
    for (const name of await this.#files()) {
      const file = join(this.address, name);
      try {
        yield { file, instance: await loadInstanceFile(file, { signal }) };
      } catch (error) {
        signal?.throwIfAborted();
        skip(error);
      }
    }
  }

  async #files(): Promise<readonly string[]> {
    let names: readonly string[];
    try {
      names = await readdir(this.address);
    } catch (cause) {
      throw asSourceError(cause, this.address);
    }
    const files = names.filter((name) => INSTANCE_FILE.test(name));
    if (files.length <= MAX_FILES) return files.toSorted();
    throw new InventoryError('failed', { message: `it has more than ${MAX_FILES} instance files`, hint: 'Divide them among directories.' });
  }

  #notFound(name: string, near: readonly string[], unreadable = 0): InventoryError {
    const skipped = unreadable === 0 ? '' : ` (${unreadable} files could not be read: gantry instances says why)`;
    return new InventoryError('not-found', {
      message: `there is neither a file ${JSON.stringify(name)} nor an instance file that describes an instance of that name${skipped}`,
      hint: `${didYouMean(near)}gantry instances ${this.address} lists what is there; gantry schema prints what may stand in an instance file.`,
    });
  }
}

/** The first entry among inventories: `file:///etc/gantry/instances`. */
export const fileInventory: Inventory = {
  schemes: ['file'],
  open: async (address: URL, { warn }: OpenInventoryOptions) => await Promise.resolve(new InstanceDirectory(pathOf(address), warn)),
};

function pathOf(address: URL): string {
  try {
    return resolve(fileURLToPath(address));
  } catch (cause) {
    throw new InventoryError('invalid-address', {
      message: errorText(cause),
      hint: 'Name a directory of this machine, such as file:///etc/gantry/instances.',
      cause,
    });
  }
}

function sameName(name: string, first: string, other: string): InventoryErrorDetails {
  return { message: `${other} describes ${name}, and so does ${first}`, hint: 'Give one of them another name, or remove it.' };
}

function summaryOf({ name, os, hypervisor, disks, tags }: Instance): InstanceSummary {
  return { name, run: { state: 'unknown' }, os, hypervisor, disks: disks.length, tags };
}

function describeFile(instance: Instance): InstanceDescription {
  return { instance, run: { state: 'unknown' }, guarded: [] };
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    () => false,
  );
}

function asSourceError(cause: unknown, directory: string): InventoryError {
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOENT') return new InventoryError('source-not-found', { message: 'there is no such directory', cause });
  if (code === 'ENOTDIR') {
    const hint = `To see what one file describes: gantry describe ${directory}`;
    return new InventoryError('invalid-address', { message: 'it is not a directory', hint, cause });
  }
  return new InventoryError(code === 'EACCES' || code === 'EPERM' ? 'denied' : 'failed', { message: errorText(cause), cause });
}
