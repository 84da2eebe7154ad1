import { createHash } from 'node:crypto';
import { pseudoRandom } from '@gantry/testkit';
import type { BeginOptions, Digest, ObjectInfo, PendingObject, ReadOptions, Store } from '@gantry/transport';

export const MiB: number = 1024 * 1024;

/** Bytes that look random, the same for the same seed. */
export function bytesOf(seed: string, size: number): Buffer {
  return Buffer.concat([...pseudoRandom(seed, size)]);
}

export function digestOf(bytes: Uint8Array): Digest {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

/** Yields bytes in pieces, all in the same reused memory, as the contract allows. */
export async function* inPieces(bytes: Buffer, size: number = 1_000_003): AsyncGenerator<Uint8Array> {
  const memory = Buffer.alloc(Math.min(size, bytes.length));
  for (let offset = 0; offset < bytes.length; offset += size) {
    const length = bytes.copy(memory, 0, offset, offset + size);
    yield memory.subarray(0, length);
  }
  memory.fill(0xee);
}

/** Begins a write, create-only if the store supports it. */
export function begin(store: Store, key: string, options: BeginOptions = {}): Promise<PendingObject> {
  return store.begin(key, { ifExists: store.capabilities.createOnly ? 'fail' : 'replace', ...options });
}

export async function write(store: Store, key: string, bytes: Buffer, options: BeginOptions = {}): Promise<ObjectInfo> {
  await using pending = await begin(store, key, options);
  await pending.append(inPieces(bytes), options);
  return await pending.commit(digestOf(bytes), options);
}

export async function read(store: Store, key: string, options: ReadOptions = {}): Promise<Buffer> {
  await using source = await store.read(key, options);
  const chunks: Buffer[] = [];
  for await (const chunk of source) chunks.push(Buffer.from(chunk));
  return Buffer.concat(chunks);
}
