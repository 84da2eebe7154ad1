import { createCipheriv, createDecipheriv } from 'node:crypto';
import { TAG_BYTES } from './payload.ts';

/** Encrypts and decrypts single blocks. */
export interface BlockCipher {
  /** @param plain may be the beginning of `block` @param block gets the encrypted bytes, and the tag after them */
  seal(key: Uint8Array, nonce: Uint8Array, plain: Uint8Array, block: Uint8Array): void;
  /** @param block with its tag, before which the plain bytes are then @returns whether it is authentic: nothing of another may be used */
  open(key: Uint8Array, nonce: Uint8Array, block: Uint8Array): boolean;
}

export const CIPHER = 'chacha20-poly1305';

/** By `node:crypto`, which needs another piece of memory for each block. */
export const NODE_CIPHER: BlockCipher = {
  seal(key, nonce, plain, block) {
    const cipher = createCipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    block.set(cipher.update(plain));
    cipher.final();
    block.set(cipher.getAuthTag(), plain.length);
  },
  open(key, nonce, block) {
    const end = block.length - TAG_BYTES;
    const decipher = createDecipheriv(CIPHER, key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(block.subarray(end));
    const plain = decipher.update(block.subarray(0, end));
    try {
      decipher.final();
    } catch {
      return false;
    }
    block.set(plain);
    return true;
  },
};
