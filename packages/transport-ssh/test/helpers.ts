import { createHash } from 'node:crypto';
import process from 'node:process';
import type { StoreError } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { SshOpenOptions, SshStore } from '@gantry/transport-ssh';
import { openSshStore } from '@gantry/transport-ssh';

export const MiB: number = 1024 * 1024;

export const ENGINES = ['openssh', 'ssh2'] as const;

/** Opens a store with the environment of the tests, less what a developer's own agent would offer. */
export function open(address: string, options: Partial<SshOpenOptions> = {}): Promise<SshStore> {
  const env = { ...process.env, SSH_AUTH_SOCK: undefined, ...options.env };
  return openSshStore(new URL(address), { cwd: '/', warn: () => undefined, ...options, env });
}

/** What `call` rejects with, which must be a StoreError. */
export async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  try {
    await call;
  } catch (error) {
    if (isStoreError(error)) return error;
    throw error;
  }
  throw new Error('it did not fail');
}

/** Opening a store, using it in some way and closing it. */
export async function failureOfOpening(address: string, options: Partial<SshOpenOptions> = {}): Promise<StoreError> {
  return failureOf(
    (async () => {
      await using store = await open(address, options);
      await Array.fromAsync(store.list(''));
    })(),
  );
}

/** `count` pieces of 1 MiB, each different. */
export async function* pieces(count: number, from = 0): AsyncGenerator<Uint8Array> {
  for (let index = from; index < from + count; index += 1) yield Buffer.alloc(MiB, String(index));
}

/** The size and SHA-256 of what {@link pieces} gives. */
export async function digestOf(count: number): Promise<{ readonly size: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  for await (const piece of pieces(count)) hash.update(piece);
  return { size: count * MiB, sha256: hash.digest('hex') };
}

/** Writes an object of some MiB. */
export async function put(store: SshStore, key: string, count: number, ifExists: 'fail' | 'replace' = 'fail'): Promise<void> {
  await using pending = await store.begin(key, { ifExists });
  await pending.append(pieces(count));
  await pending.commit(await digestOf(count));
}

/** SHA-256 of a whole object. */
export async function readDigest(store: SshStore, key: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of await store.read(key)) hash.update(chunk);
  return hash.digest('hex');
}
