import { createHash } from 'node:crypto';
import { parentPort } from 'node:worker_threads';

/** The thread of `PartDigests`: sends each piece of memory back, with the MD5 of its first bytes. */
parentPort?.on('message', ({ memory, length }: { readonly memory: ArrayBuffer; readonly length: number }) => {
  const md5 = createHash('md5')
    .update(new Uint8Array(memory, 0, length))
    .digest('hex');
  parentPort?.postMessage({ memory, md5 }, [memory]);
});
