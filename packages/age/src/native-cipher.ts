import koffi from 'koffi';
import type { BlockCipher } from './block-cipher.ts';
import { TAG_BYTES } from './payload.ts';

/*
 * Node's own OpenSSL, called directly (EVP_EncryptInit(3)): it works in place, with one context for all blocks. `node:crypto` makes a
 * cipher and a piece of memory for each block, which takes longer than the encryption itself.
 */

/** Stack of a call on another thread, bytes: none is made here, but others of this process make some. */
const THREAD_STACK_BYTES = 1024 * 1024;

let found: { readonly cipher: BlockCipher | undefined } | undefined;

/** Numbers of `EVP_CIPHER_CTX_ctrl` (openssl/evp.h). */
const GET_TAG = 0x10;
const SET_TAG = 0x11;

/** Undefined where Node's OpenSSL cannot be called. */
export function findNativeCipher(): BlockCipher | undefined {
  found ??= { cipher: tryToFind() };
  return found.cipher;
}

function tryToFind(): BlockCipher | undefined {
  try {
    return nativeCipher();
  } catch {
    return undefined;
  }
}

/** koffi takes its configuration only before the first library is loaded: core, which may be later, sets the same. */
function loadLibrary(): ReturnType<typeof koffi.load> {
  try {
    koffi.config({ async_stack_size: THREAD_STACK_BYTES });
  } catch {
    // It is set.
  }
  return koffi.load(null);
}

function nativeCipher(): BlockCipher {
  const library = loadLibrary();
  const init = 'void *context, const void *type, void *engine, const void *key, const void *nonce';
  const startSealing = library.func(`int EVP_EncryptInit_ex(${init})`);
  const startOpening = library.func(`int EVP_DecryptInit_ex(${init})`);
  const sealBytes = library.func('int EVP_EncryptUpdate(void *context, void *output, void *length, const void *input, int bytes)');
  const openBytes = library.func('int EVP_DecryptUpdate(void *context, void *output, void *length, const void *input, int bytes)');
  const endSealing = library.func('int EVP_EncryptFinal_ex(void *context, void *output, void *length)');
  const endOpening = library.func('int EVP_DecryptFinal_ex(void *context, void *output, void *length)');
  const control = library.func('int EVP_CIPHER_CTX_ctrl(void *context, int command, int number, void *bytes)');
  const type: unknown = library.func('const void *EVP_chacha20_poly1305(void)')();
  const context: unknown = library.func('void *EVP_CIPHER_CTX_new(void)')();
  if (context === null) throw new Error('out of memory for a cipher');
  /** What the functions say they have written: as much as they were given. */
  const length = Buffer.alloc(4);
  return {
    seal(key, nonce, plain, block) {
      check(startSealing(context, type, null, key, nonce));
      check(sealBytes(context, block, length, plain, plain.length));
      check(endSealing(context, block, length));
      check(control(context, GET_TAG, TAG_BYTES, block.subarray(plain.length)));
    },
    open(key, nonce, block) {
      const end = block.length - TAG_BYTES;
      check(startOpening(context, type, null, key, nonce));
      check(control(context, SET_TAG, TAG_BYTES, block.subarray(end)));
      check(openBytes(context, block, length, block, end));
      return endOpening(context, block, length) === 1;
    },
  };
}

function check(returned: unknown): void {
  if (returned !== 1) throw new Error('OpenSSL failed at ChaCha20-Poly1305');
}
