import { parentPort } from 'node:worker_threads';
import { NODE_CIPHER } from './block-cipher.ts';
import type { BlockJob } from './block-job.ts';
import { runJob } from './block-job.ts';
import { findNativeCipher } from './native-cipher.ts';

const cipher = findNativeCipher() ?? NODE_CIPHER;

/** The thread of `BlockThread`: sends each piece of memory back, with its blocks encrypted or decrypted. */
parentPort?.on('message', ({ job, memory }: { readonly job: BlockJob; readonly memory: ArrayBuffer }) => {
  const result = runJob(job, new Uint8Array(memory), cipher);
  parentPort?.postMessage({ memory, result }, [memory]);
});
