import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { JOB_SEALED_BYTES } from './block-job.ts';
import { generateX25519Identity, Identities, Recipients } from './index.ts';
import { sealHere } from './seal-here.ts';
import { sealOnThread } from './seal-on-thread.ts';
import { collect, sourceOf } from './testing/files.ts';

const CHUNK = new Uint8Array(1024 * 1024);

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());

/** Chunks without end, that counts what was taken and whether it was closed. */
function endless(): { readonly chunks: AsyncIterable<Uint8Array>; readonly seen: { bytes: number; isClosed: boolean } } {
  const seen = { bytes: 0, isClosed: false };
  async function* make(): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for (;;) {
        seen.bytes += CHUNK.length;
        yield CHUNK;
      }
    } finally {
      seen.isClosed = true;
    }
  }
  return { chunks: make(), seen };
}

const WAYS = [
  ['here', sealHere],
  ['on a thread', sealOnThread],
] as const;

test.each(WAYS)('encrypting %s reads no further ahead than two pieces, and ends its source when nobody wants more', async (_way, seal) => {
  const { chunks, seen } = endless();
  let bytes = 0;
  for await (const chunk of (await recipients.startFile()).encrypt(chunks, seal)) {
    bytes += chunk.length;
    expect(seen.bytes - bytes).toBeLessThanOrEqual(2 * JOB_SEALED_BYTES + 2 * CHUNK.length);
    if (bytes > 20 * CHUNK.length) break;
  }
  expect(seen.isClosed).toBe(true);
});

test('decrypting reads no further ahead than two pieces, and ends its source', async () => {
  async function* some(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let count = 0; count < 16; count += 1) yield CHUNK;
  }
  const file = await collect((await recipients.startFile()).encrypt(some()));
  let read = 0;
  let isClosed = false;
  const source = {
    size: file.length,
    async *read(offset: number, length: number) {
      try {
        for await (const chunk of sourceOf(file, CHUNK.length).read(offset, length)) {
          read += chunk.length;
          yield chunk;
        }
      } finally {
        isClosed = true;
      }
    },
  };
  const opened = await identities.open(source);
  read = 0;
  isClosed = false;
  for await (const plain of opened.read()) {
    expect(plain.every((byte) => byte === 0)).toBe(true);
    expect(read).toBeLessThanOrEqual(2 * JOB_SEALED_BYTES + 2 * CHUNK.length);
    break;
  }
  expect(isClosed).toBe(true);
});

test.each(WAYS)('the failure of a source is that of the file that is encrypted %s, after all that is under way', async (_way, seal) => {
  async function* failing(): AsyncGenerator<Uint8Array, void, undefined> {
    for (let count = 0; count < 5; count += 1) yield CHUNK;
    throw new Error('the disk is gone');
  }
  await expect(collect((await recipients.startFile()).encrypt(failing(), seal))).rejects.toThrow('the disk is gone');
});

test('the thread does not keep a process alive that has stopped in the middle of a file', async () => {
  const program = `
    import { generateX25519Identity, Identities, Recipients } from ${JSON.stringify(new URL('index.ts', import.meta.url).href)};
    import { sealOnThread } from ${JSON.stringify(new URL('seal-on-thread.ts', import.meta.url).href)};
    const recipients = Recipients.of(await Identities.parse(await generateX25519Identity()).recipients());
    async function* endless() { for (;;) yield new Uint8Array(1024 * 1024); }
    const chunks = (await recipients.startFile()).encrypt(endless(), sealOnThread);
    for (let count = 0; count < 5; count += 1) await chunks.next();
    console.log('stopped');
  `;
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', program]);
  expect(stdout).toBe('stopped\n');
});
