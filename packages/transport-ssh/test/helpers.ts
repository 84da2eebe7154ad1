import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import process from 'node:process';
import type { CutProxy, SshServer } from '@gantry/testkit';
import { processTree } from '@gantry/testkit';
import type { StoreError } from '@gantry/transport';
import { isStoreError } from '@gantry/transport';
import type { SshOpenOptions, SshStore } from '@gantry/transport-ssh';
import { openSshStore } from '@gantry/transport-ssh';

export const MiB: number = 1024 * 1024;

export const ENGINES = ['openssh', 'ssh2'] as const;

/** On a busy machine with many tests at once, a key exchange took 18 s, of 20 that it usually may take. */
const CONNECT_SECONDS = '120';

/** Opens a store with the environment of the tests, without a developer's own agent. */
export function open(address: string, options: Partial<SshOpenOptions> = {}): Promise<SshStore> {
  const env = { ...process.env, SSH_AUTH_SOCK: undefined, ...options.env };
  const url = new URL(address);
  if (!url.searchParams.has('connectTimeout')) url.searchParams.set('connectTimeout', CONNECT_SECONDS);
  return openSshStore(url, { cwd: '/', warn: () => undefined, ...options, env });
}

/** The StoreError with which `call` rejects. */
export async function failureOf(call: Promise<unknown>): Promise<StoreError> {
  try {
    await call;
  } catch (error) {
    if (isStoreError(error)) return error;
    throw error;
  }
  throw new Error('the call did not fail');
}

/** The failure of opening a store, using it and closing it. */
export async function failureOfOpening(address: string, options: Partial<SshOpenOptions> = {}): Promise<StoreError> {
  return failureOf(
    (async () => {
      await using store = await open(address, options);
      await Array.fromAsync(store.list(''));
    })(),
  );
}

/** `count` pieces of 1 MiB, each different. */
export async function* pieces(count: number): AsyncGenerator<Uint8Array> {
  for (let index = 0; index < count; index += 1) yield Buffer.alloc(MiB, String(index));
}

/** The output of {@link pieces} from a byte on. */
export async function* piecesFrom(byte: number, count: number): AsyncGenerator<Uint8Array> {
  let left = byte;
  for await (const piece of pieces(count)) {
    if (left < piece.length) yield piece.subarray(left);
    left = Math.max(0, left - piece.length);
  }
}

/** The size and SHA-256 of the output of {@link pieces}. */
export async function digestOf(count: number): Promise<{ readonly size: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  for await (const piece of pieces(count)) hash.update(piece);
  return { size: count * MiB, sha256: hash.digest('hex') };
}

/** Writes an object of `count` MiB. */
export async function put(store: SshStore, key: string, count: number, ifExists: 'fail' | 'replace' = 'fail'): Promise<void> {
  await using pending = await store.begin(key, { ifExists });
  await pending.append(pieces(count));
  await pending.commit(await digestOf(count));
}

/** The SHA-256 of a complete object. */
export async function readDigest(store: SshStore, key: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of await store.read(key)) hash.update(chunk);
  return hash.digest('hex');
}

/** The address of a directory on a server, through a proxy. */
export async function addressThrough(
  proxy: CutProxy,
  server: SshServer,
  directory: string,
  options: Readonly<Record<string, string>> = {},
): Promise<string> {
  const knownHosts = `${server.directory}/known_hosts-${proxy.port}`;
  await writeFile(knownHosts, `[127.0.0.1]:${proxy.port} ${await readFile(`${server.hostKeyFile}.pub`, 'utf8')}`);
  const url = new URL(server.address(directory, { ...options, knownHosts }));
  url.port = String(proxy.port);
  return url.href;
}

/** The running processes named `ssh` that this one has started. */
export async function runningClients(): Promise<readonly number[]> {
  const [, ...children] = await processTree(process.pid);
  const names = await Promise.all(children.map((pid) => readFile(`/proc/${pid}/comm`, 'utf8').catch(() => '')));
  return children.filter((_, index) => names[index] === 'ssh\n');
}
