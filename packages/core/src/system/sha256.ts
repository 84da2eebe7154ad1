import { hash } from 'node:crypto';
import type { Native } from './process-library.ts';
import { callOnThread, processFunction } from './process-library.ts';

/** SHA-256 on libuv's threads, by Node's own OpenSSL (EVP_DigestInit(3)). */
export interface NativeSha256 {
  /** One call at a time. The bytes must not change until it resolves. */
  update(bytes: Uint8Array): Promise<void>;
  /** The same on this thread: cheaper for a few KiB. */
  updateHere(bytes: Uint8Array): void;
  /** The 32 bytes of the digest; to be called once, at the end. */
  digest(): Buffer;
  /** Frees the memory. Must not be called during another call. */
  free(): void;
}

/** SHA-256 of some bytes, on one of libuv's threads where Node's OpenSSL can be called. The bytes must not change until it resolves. */
export async function sha256OnThread(bytes: Uint8Array): Promise<Uint8Array> {
  found ??= { functions: tryToFind() };
  if (found.functions === undefined) return hash('sha256', bytes, 'buffer');
  const { digest, sha256 } = found.functions;
  const output = Buffer.alloc(DIGEST_BYTES);
  const parameters = [bytes, bytes.length, output, null, sha256(), null];
  return await callOnThread(digest, parameters, (returned) => {
    check(returned, 'EVP_Digest');
    return output;
  });
}

interface Functions {
  readonly create: Native;
  readonly sha256: Native;
  readonly init: Native;
  readonly update: Native;
  readonly final: Native;
  readonly free: Native;
  readonly digest: Native;
}

/** Undefined where Node's OpenSSL cannot be called. */
export function createNativeSha256(): NativeSha256 | undefined {
  found ??= { functions: tryToFind() };
  return found.functions === undefined ? undefined : start(found.functions);
}

/** Bytes of a digest. */
export const DIGEST_BYTES = 32;

let found: { readonly functions: Functions | undefined } | undefined;

function tryToFind(): Functions | undefined {
  try {
    return {
      create: processFunction('void *EVP_MD_CTX_new(void)'),
      sha256: processFunction('const void *EVP_sha256(void)'),
      init: processFunction('int EVP_DigestInit_ex(void *context, const void *type, void *engine)'),
      update: processFunction('int EVP_DigestUpdate(void *context, const void *bytes, size_t length)'),
      final: processFunction('int EVP_DigestFinal_ex(void *context, void *digest, void *length)'),
      free: processFunction('void EVP_MD_CTX_free(void *context)'),
      digest: processFunction('int EVP_Digest(const void *bytes, size_t length, void *digest, void *size, const void *type, void *engine)'),
    };
  } catch {
    return undefined;
  }
}

function start(functions: Functions): NativeSha256 {
  const context: unknown = functions.create();
  if (context === null) throw new Error('out of memory for a digest');
  check(functions.init(context, functions.sha256(), null), 'EVP_DigestInit_ex');
  return {
    update: (bytes) => callOnThread(functions.update, [context, bytes, bytes.length], (returned) => check(returned, 'EVP_DigestUpdate')),
    updateHere: (bytes) => check(functions.update(context, bytes, bytes.length), 'EVP_DigestUpdate'),
    digest: () => {
      const digest = Buffer.alloc(DIGEST_BYTES);
      check(functions.final(context, digest, null), 'EVP_DigestFinal_ex');
      return digest;
    },
    free: () => void functions.free(context),
  };
}

function check(returned: unknown, name: string): void {
  if (returned !== 1) throw new Error(`${name} failed`);
}
