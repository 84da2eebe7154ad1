import type { Directory, Entry, FileSystem, ReadableFile, WritableFile } from '@gantry/directory-store';
import { FileSystemError } from '@gantry/directory-store';
import { isStoreError } from '@gantry/transport';
import { Killed } from '../histories.ts';
import type { Effect, Faults } from './faults.ts';
import { afterWork, beforeWork, faultedBody, withFault } from './faults.ts';

/** A file system with a fault at one of its calls, and the same as the given one otherwise. */
export function faultedFileSystem(system: FileSystem, faults: Faults): FileSystem {
  const run = callsOf(faults);
  const space = system.space?.bind(system);
  return {
    capabilities: (signal) => system.capabilities(signal),
    root: async (signal) => new FaultedDirectory(await opening(run, 'open .', 'reads', () => system.root(signal)), faults),
    statRoot: (signal) => run('stat .', 'reads', () => system.statRoot(signal)),
    makeRoot: (signal) => run('mkdir .', 'adds', () => system.makeRoot(signal)),
    ...(space === undefined ? {} : { space: (signal) => run('statfs .', 'reads', () => space(signal)) }),
    explain: (error) => system.explain(error),
    [Symbol.asyncDispose]: () => system[Symbol.asyncDispose](),
  };
}

type RunCall = <T>(name: string, effect: Effect, work: () => Promise<T>) => Promise<T>;

/** A call fails as system calls do. */
function callsOf(faults: Faults): RunCall {
  return (name, effect, work) => withFault(faults, { name, effect }, work).catch((error: unknown) => Promise.reject(asSystemError(error)));
}

/** A call that opens something. What it opened before its answer was lost is closed: the kernel gives a process no such descriptor. */
async function opening<T extends AsyncDisposable>(run: RunCall, name: string, effect: Effect, open: () => Promise<T>): Promise<T> {
  let opened: T | undefined;
  try {
    return await run(name, effect, async () => (opened = await open()));
  } catch (error) {
    await opened?.[Symbol.asyncDispose]();
    throw error;
  }
}

function asSystemError(error: unknown): unknown {
  return isStoreError(error) ? new FileSystemError('failed', { code: error.code, message: error.message }) : error;
}

async function* asSystemErrors(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  try {
    yield* chunks;
  } catch (error) {
    throw asSystemError(error);
  }
}

class FaultedDirectory implements Directory {
  readonly path: string;
  readonly found: Directory['found'];
  readonly #inner: Directory;
  readonly #faults: Faults;
  readonly #run: RunCall;
  readonly #closed: () => void;

  constructor(inner: Directory, faults: Faults) {
    this.path = inner.path;
    this.found = inner.found;
    this.#inner = inner;
    this.#faults = faults;
    this.#run = callsOf(faults);
    this.#closed = faults.opened(`open ${inner.path}`);
  }

  async walk(parts: readonly string[]): Promise<Directory> {
    const name = `walk ${parts.join('/')}`;
    return new FaultedDirectory(await opening(this.#run, name, 'reads', () => this.#inner.walk(parts)), this.#faults);
  }

  async walkEach(parts: readonly string[]): Promise<readonly Directory[]> {
    const found = await opening(this.#run, `walk ${parts.join('/')}`, 'reads', async () => together(await this.#inner.walkEach(parts)));
    return found.all.map((each) => new FaultedDirectory(each, this.#faults));
  }

  find(parts: readonly string[]): ReturnType<Directory['find']> {
    return this.#run(`lstat ${parts.join('/')}`, 'reads', () => this.#inner.find(parts));
  }

  async *entries(): AsyncGenerator<readonly Entry[], void, undefined> {
    yield* await this.#run(`readdir ${this.path}`, 'reads', () => Array.fromAsync(this.#inner.entries()));
  }

  make(name: string): Promise<boolean> {
    return this.#run(`mkdir ${name}`, 'adds', () => this.#inner.make(name));
  }

  async read(parts: readonly string[], signal?: AbortSignal): Promise<ReadableFile> {
    const name = `open ${parts.join('/')}`;
    const file = await opening(this.#run, name, 'reads', () => this.#inner.read(parts, signal));
    return readable(file, `read ${parts.join('/')}`, this.#faults);
  }

  readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined> {
    return this.#run(`read ${parts.join('/')}`, 'reads', () => this.#inner.readSmall(parts, maxBytes));
  }

  async create(name: string, signal?: AbortSignal): Promise<WritableFile> {
    const file = await opening(this.#run, `create ${name}`, 'adds', () => this.#inner.create(name, signal));
    return writable(file, name, this.#faults);
  }

  createSmall(name: string, content: Uint8Array): Promise<void> {
    return this.#run(`create ${name}`, 'adds', () => this.#inner.createSmall(name, content));
  }

  link(name: string, to: Directory, toName: string): Promise<void> {
    return this.#run(`link ${toName}`, 'adds', () => this.#inner.link(name, innerOf(to), toName));
  }

  replace(name: string, to: Directory, toName: string): Promise<void> {
    return this.#run(`rename ${toName}`, 'adds', () => this.#inner.replace(name, innerOf(to), toName));
  }

  remove(name: string): Promise<void> {
    return this.#run(`unlink ${name}`, 'removes', () => this.#inner.remove(name));
  }

  removeDirectory(name: string): Promise<void> {
    return this.#run(`rmdir ${name}`, 'removes', () => this.#inner.removeDirectory(name));
  }

  sync(): Promise<boolean> {
    return this.#run(`fsync ${this.path}`, 'adds', () => this.#inner.sync());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed();
    await this.#inner[Symbol.asyncDispose]();
  }

  static inner(directory: FaultedDirectory): Directory {
    return directory.#inner;
  }
}

function innerOf(directory: Directory): Directory {
  return directory instanceof FaultedDirectory ? FaultedDirectory.inner(directory) : directory;
}

/** Several that are closed together. */
function together<T extends AsyncDisposable>(all: readonly T[]): AsyncDisposable & { readonly all: readonly T[] } {
  return {
    all,
    async [Symbol.asyncDispose]() {
      for (const each of all) await each[Symbol.asyncDispose]();
    },
  };
}

function readable(file: ReadableFile, name: string, faults: Faults): ReadableFile {
  const closed = faults.opened(name);
  return {
    found: file.found,
    read: async function* read(offset, end) {
      const { call, fault } = faults.next(name, 'reads');
      await beforeWork(faults, fault, { name, effect: 'reads' }).catch((error: unknown) => Promise.reject(asSystemError(error)));
      yield* asSystemErrors(faultedBody(file.read(offset, end), { faults, call, fault }));
    },
    [Symbol.asyncDispose]: () => {
      closed();
      return file[Symbol.asyncDispose]();
    },
  };
}

function writable(file: WritableFile, name: string, faults: Faults): WritableFile {
  const run = callsOf(faults);
  const closed = faults.opened(`create ${name}`);
  return {
    get arrivedBytes() {
      return file.arrivedBytes;
    },
    write: (chunk, signal) => writeSome(file, chunk, { name: `write ${name}`, faults, signal }),
    // Without `copy`: bytes of other files are read and written, so that these calls have their faults.
    flush: () => file.flush(),
    sync: (options) => run(`fdatasync ${name}`, 'adds', () => file.sync(options)),
    finish: () => run(`fsync ${name}`, 'adds', () => file.finish()),
    [Symbol.asyncDispose]: () => {
      closed();
      return file[Symbol.asyncDispose]();
    },
  };
}

/** As write(2) does: a part may be written, and then it fails. */
async function writeSome(
  file: WritableFile,
  chunk: Uint8Array,
  { name, faults, signal }: { readonly name: string; readonly faults: Faults; readonly signal: AbortSignal | undefined },
): Promise<void> {
  const { call, fault } = faults.next(name, 'adds');
  call.bytes = chunk.length;
  try {
    await beforeWork(faults, fault, { name, effect: 'adds', signal });
    const isTorn = fault?.kind === 'breaks off' || fault?.kind === 'killed at';
    if (isTorn) faults.reached(name);
    await file.write(isTorn ? chunk.subarray(0, fault.byte) : chunk, signal);
    if (fault?.kind === 'killed at') {
      faults.kill();
      throw new Killed();
    }
    if (fault?.kind === 'breaks off') throw new FileSystemError('failed', { code: 'unavailable', message: `${name}: it failed` });
    await afterWork(faults, call, fault);
  } catch (error) {
    throw asSystemError(error);
  }
}
