import { Buffer } from 'node:buffer';
import { createHash } from 'node:crypto';
import type { Digest, PendingObject } from '@gantry/transport';
import { DirectoryStore } from '../directory-store.ts';
import type { DiskDirectory } from './disk.ts';
import type { MemoryOptions } from './memory-file-system.ts';
import { MemoryFileSystem } from './memory-file-system.ts';

/** A store on a disk in memory. */
export function storeOn(disk: DiskDirectory, options: MemoryOptions = {}): DirectoryStore {
  return new DirectoryStore(new MemoryFileSystem(disk, options), { address: 'memory:', shown: 'memory', warn: () => undefined });
}

export function digestOf(content: Buffer): Digest {
  return { size: content.length, sha256: createHash('sha256').update(content).digest('hex') };
}

export async function* inChunks(content: Buffer, bytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += bytes) yield content.subarray(at, at + bytes);
}

/** Appends the rest, and commits. */
export async function complete(write: PendingObject, content: Buffer): Promise<void> {
  await write.append(inChunks(content.subarray(write.durableBytes), 700));
  await write.commit(digestOf(content));
}

export async function put(store: DirectoryStore, key: string, content: Buffer, ifExists: 'fail' | 'replace' = 'replace'): Promise<void> {
  await using write = await store.begin(key, { ifExists });
  await complete(write, content);
}

/** Every object with its content. */
export async function contentsOf(store: DirectoryStore): Promise<ReadonlyMap<string, string>> {
  const contents = new Map<string, string>();
  for await (const { key, size } of store.list('')) {
    const content = Buffer.concat(await Array.fromAsync(await store.read(key), (chunk) => Buffer.from(chunk)));
    if (content.length !== size) throw new Error(`${key} has ${content.length} bytes, but is listed with ${size}`);
    contents.set(key, content.toString('latin1'));
  }
  return contents;
}

/** Every path on a disk. */
export function pathsOn(directory: DiskDirectory, prefix = ''): readonly string[] {
  const paths: string[] = [];
  for (const [name, node] of directory.entries) {
    paths.push(`${prefix}${name}`);
    if (node.kind === 'directory') paths.push(...pathsOn(node, `${prefix}${name}/`));
  }
  return paths;
}
