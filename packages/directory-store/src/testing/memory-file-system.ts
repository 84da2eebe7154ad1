import { Buffer } from 'node:buffer';
import { setImmediate } from 'node:timers/promises';
import type {
  Directory,
  Entry,
  FileSystem,
  FileSystemCapabilities,
  FileInfo,
  ReadableFile,
  RootInfo,
  SyncOptions,
  WritableFile,
} from '../file-system.ts';
import { FileSystemError, formatMark } from '../file-system.ts';
import type { DiskNode, Step } from './disk.ts';
import { DiskDirectory, DiskFile } from './disk.ts';

/** So that a copy of a few thousand bytes takes several calls. */
const MAX_COPY_BYTES = 1500;

const CAPABILITIES: FileSystemCapabilities = {
  replace: true,
  inOrder: true,
  syncFile: true,
  syncEveryBytes: 1000,
  maxUnsyncedBytes: 2000,
};

export interface MemoryOptions extends Partial<FileSystemCapabilities> {
  /** Called before each step: if it throws, the step fails with that error. */
  readonly before?: ((step: Step) => void) | undefined;
}

/**
 * A file system in memory, which reports each change before it makes it, and tracks what would survive a power cut. Open directories
 * stay the same when they are renamed, as on a local file system.
 */
export class MemoryFileSystem implements FileSystem {
  readonly disk: DiskDirectory;
  readonly #options: MemoryOptions;
  readonly #lost = new Set<DiskNode>();

  constructor(disk: DiskDirectory = new DiskDirectory(), options: MemoryOptions = {}) {
    this.disk = disk;
    this.#options = options;
  }

  async capabilities(): Promise<FileSystemCapabilities> {
    const { before: _before, ...changes } = this.#options;
    return { ...CAPABILITIES, ...changes };
  }

  async root(): Promise<Directory> {
    return new MemoryDirectory(this, this.disk, '');
  }

  async statRoot(): Promise<RootInfo> {
    return { ...foundOf(this.disk), identity: 'memory' };
  }

  async makeRoot(): Promise<void> {
    // It always exists.
  }

  async explain(error: unknown): Promise<unknown> {
    return error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Memory holds nothing open.
  }

  /** Announces a step. Changes are synchronous, and each comes after other tasks had a turn. */
  async step(step: Step): Promise<void> {
    await Promise.resolve();
    this.#options.before?.(step);
  }

  /** As on Linux: data whose sync failed is never written again, and the next sync does not report that. */
  async sync(node: DiskNode, step: Step, work: () => void): Promise<void> {
    try {
      await this.step(step);
    } catch (error) {
      this.#lost.add(node);
      throw error;
    }
    if (!this.#lost.has(node)) work();
  }
}

class MemoryDirectory implements Directory {
  readonly path: string;
  readonly found: FileInfo;
  readonly #system: MemoryFileSystem;
  readonly #node: DiskDirectory;

  constructor(system: MemoryFileSystem, node: DiskDirectory, path: string) {
    this.#system = system;
    this.#node = node;
    this.path = path;
    this.found = foundOf(node);
  }

  async walk(parts: readonly string[]): Promise<Directory> {
    const directories = await this.walkEach(parts);
    if (directories.length < parts.length) throw missing(this.#at(parts.join('/')));
    return directories.at(-1) ?? this;
  }

  async walkEach(parts: readonly string[]): Promise<readonly MemoryDirectory[]> {
    const directories: MemoryDirectory[] = [];
    let node = this.#node;
    for (const [index, part] of parts.entries()) {
      const next = node.entries.get(part);
      if (next === undefined) break;
      if (next.kind !== 'directory') throw otherKind(part);
      node = next;
      directories.push(new MemoryDirectory(this.#system, node, this.#at(parts.slice(0, index + 1).join('/'))));
    }
    return directories;
  }

  async find(parts: readonly string[]): Promise<FileInfo | undefined> {
    const node = this.#look(parts);
    return node === undefined ? undefined : foundOf(node);
  }

  async *entries(): AsyncGenerator<readonly Entry[], void, undefined> {
    yield [...this.#node.entries].map(([name, { kind }]) => ({ name, kind }));
  }

  async make(name: string): Promise<boolean> {
    await this.#system.step({ call: 'make', path: this.#at(name) });
    if (this.#node.isRemoved) throw missing(this.#at(name));
    if (this.#node.entries.has(name)) return false;
    this.#node.entries.set(name, new DiskDirectory());
    return true;
  }

  async read(parts: readonly string[]): Promise<ReadableFile> {
    return new MemoryReadableFile(this.#fileAt(parts));
  }

  async readSmall(parts: readonly string[], maxBytes: number): Promise<Uint8Array | undefined> {
    return this.#look(parts) === undefined ? undefined : Buffer.from(this.#fileAt(parts).bytes.subarray(0, maxBytes));
  }

  async create(name: string): Promise<WritableFile> {
    await this.#system.step({ call: 'create', path: this.#at(name) });
    if (this.#node.isRemoved) throw missing(this.#at(name));
    if (this.#node.entries.has(name)) throw exists(this.#at(name));
    const file = new DiskFile();
    file.links = 1;
    this.#node.entries.set(name, file);
    return new MemoryWritableFile(this.#system, file, this.#at(name), (mark, bytes) => this.#mark(mark, bytes));
  }

  async createSmall(name: string, content: Uint8Array): Promise<void> {
    const file = await this.create(name);
    await file.write(content);
    await file.sync({ bytes: content.length, mark: undefined, writing: false });
  }

  async link(name: string, to: Directory, toName: string): Promise<void> {
    const [target, file] = [own(to), this.#fileAt([name])];
    await this.#system.step({ call: 'link', path: this.#at(name), to: target.#at(toName) });
    if (target.#node.entries.has(toName)) throw exists(target.#at(toName));
    target.#node.entries.set(toName, file);
    file.links += 1;
  }

  async replace(name: string, to: Directory, toName: string): Promise<void> {
    const [target, node] = [own(to), this.#look([name])];
    if (node === undefined) throw missing(this.#at(name));
    await this.#system.step({ call: 'replace', path: this.#at(name), to: target.#at(toName) });
    if (target.#node.entries.get(toName)?.kind === 'directory') throw otherKind(toName);
    this.#node.entries.delete(name);
    target.#node.entries.set(toName, node);
  }

  async remove(name: string): Promise<void> {
    const file = this.#fileAt([name]);
    await this.#system.step({ call: 'remove', path: this.#at(name) });
    this.#node.entries.delete(name);
    file.links -= 1;
  }

  async removeDirectory(name: string): Promise<void> {
    const node = this.#look([name]);
    if (node === undefined) throw missing(this.#at(name));
    if (node.kind !== 'directory') throw otherKind(name);
    if (node.entries.size > 0) throw new FileSystemError('not-empty', { code: 'exists', message: `${name} is not empty` });
    await this.#system.step({ call: 'removeDirectory', path: this.#at(name) });
    if (node.entries.size > 0) throw new FileSystemError('not-empty', { code: 'exists', message: `${name} is not empty` });
    this.#node.entries.delete(name);
    node.isRemoved = true;
  }

  async sync(): Promise<boolean> {
    await this.#system.sync(this.#node, { call: 'sync directory', path: this.path }, () => {
      this.#node.durable = new Map(this.#node.entries);
    });
    return true;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Memory holds nothing open.
  }

  #at(name: string): string {
    return this.path === '' ? name : `${this.path}/${name}`;
  }

  #look(parts: readonly string[]): DiskNode | undefined {
    let node: DiskNode | undefined = this.#node;
    for (const part of parts) {
      if (node === undefined) return undefined;
      if (node.kind !== 'directory') throw otherKind(part);
      node = node.entries.get(part);
    }
    return node;
  }

  #fileAt(parts: readonly string[]): DiskFile {
    const node = this.#look(parts);
    if (node === undefined) throw missing(this.#at(parts.join('/')));
    if (node.kind !== 'file') throw otherKind(parts.join('/'));
    return node;
  }

  async #mark(name: string, bytes: number): Promise<void> {
    const there = this.#node.entries.get(name);
    const file = there?.kind === 'file' ? there : new DiskFile();
    if (there === undefined) {
      await this.#system.step({ call: 'create', path: this.#at(name) });
      this.#node.entries.set(name, file);
    }
    await this.#system.step({ call: 'write', path: this.#at(name) });
    file.bytes = Buffer.from(formatMark(bytes));
    await this.#system.sync(file, { call: 'sync', path: this.#at(name) }, () => {
      file.durable = file.bytes;
    });
  }
}

class MemoryReadableFile implements ReadableFile {
  readonly found: FileInfo;
  readonly #file: DiskFile;

  constructor(file: DiskFile) {
    this.#file = file;
    this.found = foundOf(file);
  }

  async *read(offset: number, end: number): AsyncGenerator<Uint8Array, void, undefined> {
    const { bytes } = this.#file;
    // As with a real disk, other tasks get a turn.
    await setImmediate();
    for (let at = offset; at < Math.min(end, bytes.length); at += 64 * 1024) {
      yield Buffer.from(bytes.subarray(at, Math.min(end, at + 64 * 1024)));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Memory holds nothing open.
  }
}

class MemoryWritableFile implements WritableFile {
  readonly #system: MemoryFileSystem;
  readonly #file: DiskFile;
  readonly #path: string;
  readonly #mark: (name: string, bytes: number) => Promise<void>;

  constructor(system: MemoryFileSystem, file: DiskFile, path: string, mark: (name: string, bytes: number) => Promise<void>) {
    this.#system = system;
    this.#file = file;
    this.#path = path;
    this.#mark = mark;
  }

  get arrivedBytes(): number {
    return this.#file.bytes.length;
  }

  async copy(from: ReadableFile, offset: number, maxBytes: number): Promise<number> {
    const chunks = await Array.fromAsync(from.read(offset, offset + Math.min(maxBytes, MAX_COPY_BYTES)));
    const bytes = Buffer.concat(chunks);
    await this.write(bytes);
    return bytes.length;
  }

  async write(chunk: Uint8Array): Promise<void> {
    await this.#system.step({ call: 'write', path: this.#path });
    this.#file.append(chunk);
  }

  async flush(): Promise<void> {
    // Written bytes have arrived.
  }

  async sync({ bytes, mark }: SyncOptions): Promise<void> {
    const content = this.#file.bytes;
    await this.#system.sync(this.#file, { call: 'sync', path: this.#path }, () => {
      this.#file.durable = content;
    });
    if (mark !== undefined) await this.#mark(mark, bytes);
  }

  async finish(): Promise<FileInfo> {
    this.#file.modified = new Date();
    await this.sync({ bytes: this.arrivedBytes, mark: undefined, writing: false });
    return foundOf(this.#file);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Memory holds nothing open.
  }
}

function foundOf(node: DiskNode): FileInfo {
  if (node.kind === 'directory') return { kind: 'directory', size: 0, modified: node.modified, mode: 0o700, user: 0 };
  return { kind: 'file', size: node.bytes.length, modified: node.modified, mode: 0o600, user: 0, links: node.links };
}

function own(directory: Directory): MemoryDirectory {
  if (directory instanceof MemoryDirectory) return directory;
  throw new TypeError('a directory of another file system');
}

function missing(what: string): FileSystemError {
  return new FileSystemError('missing', { code: 'not-found', message: `there is no ${what}` });
}

function exists(what: string): FileSystemError {
  return new FileSystemError('exists', { code: 'exists', message: `${what} exists` });
}

function otherKind(what: string): FileSystemError {
  return new FileSystemError('other-kind', { code: 'exists', message: `${what} is of another kind` });
}
