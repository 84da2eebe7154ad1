import type { BlockCipher } from './block-cipher.ts';
import { BLOCK_BYTES, blockNonce, SEALED_BLOCK_BYTES, TAG_BYTES } from './payload.ts';

/** Blocks that are encrypted or decrypted together: most that are in one piece of memory. */
export const JOB_BLOCKS = 31;
export const JOB_SEALED_BYTES: number = JOB_BLOCKS * SEALED_BLOCK_BYTES;

/** Some blocks of a file, one after another in a piece of memory, each with (room for) its tag. */
export interface BlockJob {
  readonly action: 'seal' | 'open';
  readonly key: Uint8Array;
  /** The number of the first one. */
  readonly first: number;
  /** The bytes of all of them, with their tags. All but the last are complete. */
  readonly sealedBytes: number;
  /** The last one is the last of the file. */
  readonly endsFile: boolean;
}

export interface BlockResult {
  /** What the memory has now from its start: encrypted blocks, or plain bytes. */
  readonly bytes: number;
  /** The number of a block that is not authentic: what was before it is there. */
  readonly damaged?: number;
}

/** Does the job in place. */
export function runJob({ action, key, first, sealedBytes, endsFile }: BlockJob, memory: Uint8Array, cipher: BlockCipher): BlockResult {
  let plainBytes = 0;
  for (let at = 0, index = first; at < sealedBytes; at += SEALED_BLOCK_BYTES, index += 1) {
    const end = Math.min(at + SEALED_BLOCK_BYTES, sealedBytes);
    const nonce = blockNonce(index, endsFile && end === sealedBytes);
    const block = memory.subarray(at, end);
    if (action === 'seal') cipher.seal(key, nonce, block.subarray(0, -TAG_BYTES), block);
    else if (block.length < TAG_BYTES || !cipher.open(key, nonce, block)) return { bytes: plainBytes, damaged: index };
    else {
      memory.copyWithin(plainBytes, at, end - TAG_BYTES);
      plainBytes += Math.min(BLOCK_BYTES, block.length - TAG_BYTES);
    }
  }
  return { bytes: action === 'seal' ? sealedBytes : plainBytes };
}
