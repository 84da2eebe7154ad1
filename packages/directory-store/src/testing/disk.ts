import { Buffer } from 'node:buffer';

/** A change that a recording file system was asked to make. */
export interface Step {
  readonly call: 'make' | 'create' | 'write' | 'sync' | 'link' | 'replace' | 'remove' | 'removeDirectory' | 'sync directory';
  /** Relative to the store's directory. */
  readonly path: string;
  /** The new name of `link` and `replace`. */
  readonly to?: string | undefined;
}

export class DiskFile {
  readonly kind = 'file';
  bytes: Buffer = Buffer.alloc(0);
  /** The bytes that survive a power cut. */
  durable: Buffer = Buffer.alloc(0);
  modified: Date = new Date(0);
  links = 0;
  #memory: Buffer = this.bytes;

  /** Earlier bytes stay unchanged in the same memory. */
  append(chunk: Uint8Array): void {
    const { length } = this.bytes;
    if (length + chunk.length > this.#memory.length) {
      this.#memory = Buffer.alloc(2 * (length + chunk.length));
      this.#memory.set(this.bytes);
    }
    this.#memory.set(chunk, length);
    this.bytes = this.#memory.subarray(0, length + chunk.length);
  }
}

export type DiskNode = DiskFile | DiskDirectory;

export class DiskDirectory {
  readonly kind = 'directory';
  entries: Map<string, DiskNode> = new Map();
  /** The names that survive a power cut. */
  durable: Map<string, DiskNode> = new Map();
  modified: Date = new Date();
  /** Nothing can be made in it any more, although it may be open. */
  isRemoved = false;
}

/** Which unsynced changes are lost in a power cut. */
export interface Loss {
  /** Whether an unsynced change of a directory is lost. */
  readonly name: (path: string) => boolean;
  /** Whether the bytes of a file since its last sync are lost. */
  readonly bytes: (path: string) => boolean;
}

/** The disk after a power cut. */
export function afterPowerCut(root: DiskDirectory, loss: Loss): DiskDirectory {
  return copyDirectory(root, '', loss, new Map());
}

function copyDirectory(directory: DiskDirectory, path: string, loss: Loss, files: Map<DiskFile, DiskFile>): DiskDirectory {
  const copy = new DiskDirectory();
  for (const name of new Set([...directory.entries.keys(), ...directory.durable.keys()])) {
    const [now, before] = [directory.entries.get(name), directory.durable.get(name)];
    const at = `${path}/${name}`;
    const node = now !== before && loss.name(at) ? before : now;
    if (node === undefined) continue;
    const left = node.kind === 'directory' ? copyDirectory(node, at, loss, files) : copyFile(node, at, loss, files);
    copy.entries.set(name, left);
    copy.durable.set(name, left);
  }
  copy.modified = directory.modified;
  return copy;
}

/** A file with two names stays one file. */
function copyFile(file: DiskFile, path: string, loss: Loss, files: Map<DiskFile, DiskFile>): DiskFile {
  const known = files.get(file);
  if (known !== undefined) {
    known.links += 1;
    return known;
  }
  const copy = new DiskFile();
  copy.bytes = Buffer.from(loss.bytes(path) ? file.durable : file.bytes);
  copy.durable = copy.bytes;
  copy.modified = file.modified;
  copy.links = 1;
  files.set(file, copy);
  return copy;
}
