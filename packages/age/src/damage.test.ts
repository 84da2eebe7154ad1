import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { generateX25519Identity, Identities, Recipients } from './index.ts';
import { JOB_BLOCKS } from './block-job.ts';
import { BLOCK_BYTES, SEALED_BLOCK_BYTES, TAG_BYTES } from './payload.ts';
import { chunksOf, collect, sourceOf } from './testing/files.ts';

/** More than are encrypted together. */
const BLOCKS = JOB_BLOCKS + 5;

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());
const plain = randomBytes(BLOCKS * BLOCK_BYTES);

async function seal(bytes: Uint8Array): Promise<{ readonly start: Buffer; readonly blocks: readonly Buffer[] }> {
  const file = await recipients.startFile();
  const all = await collect(file.encrypt(chunksOf(bytes, 3 * BLOCK_BYTES - 1)));
  const blocks = Array.from({ length: Math.ceil((all.length - file.start.length) / SEALED_BLOCK_BYTES) }, (_, index) => {
    const from = file.start.length + index * SEALED_BLOCK_BYTES;
    return all.subarray(from, from + SEALED_BLOCK_BYTES);
  });
  return { start: all.subarray(0, file.start.length), blocks };
}

const { start, blocks } = await seal(plain);
const other = await seal(plain);

/** Reads a file that must be refused; what came out before must be the beginning of the plain bytes, of as many blocks at most. */
async function expectRefused(file: Uint8Array, maxBlocks = BLOCKS): Promise<void> {
  const released: Buffer[] = [];
  const reading = (async (): Promise<void> => {
    for await (const chunk of (await identities.open(sourceOf(file, 100_000))).read()) released.push(Buffer.from(chunk));
  })();
  await expect(reading).rejects.toMatchObject({ name: 'AgeError', code: 'damaged' });
  const bytes = Buffer.concat(released);
  expect(bytes.length).toBeLessThanOrEqual(maxBlocks * BLOCK_BYTES);
  expect(bytes.equals(plain.subarray(0, bytes.length))).toBe(true);
}

const block = fc.nat(BLOCKS - 1);

test('a payload that is cut anywhere is refused', async () => {
  const file = Buffer.concat([start, ...blocks]);
  const payload = file.length - start.length;
  await fc.assert(fc.asyncProperty(fc.nat(payload - 1), (bytes) => expectRefused(file.subarray(0, start.length + bytes))));
  // Where a block ends: it says that it is not the last.
  for (const kept of [1, JOB_BLOCKS, BLOCKS - 1]) await expectRefused(Buffer.concat([start, ...blocks.slice(0, kept)]), kept - 1);
});

test('two blocks that were swapped are refused', async () => {
  const pairs = fc.tuple(block, block).filter(([a, b]) => a !== b);
  await fc.assert(
    fc.asyncProperty(pairs, ([a, b]) => {
      const swapped = blocks.map((each, index) => (index === a ? blocks[b] : index === b ? blocks[a] : each) ?? each);
      return expectRefused(Buffer.concat([start, ...swapped]), Math.min(a, b));
    }),
  );
});

test('a block that is left out, repeated, or of another file to the same recipients is refused', async () => {
  await fc.assert(
    fc.asyncProperty(block, fc.constantFrom('out', 'twice', 'foreign'), (at, what) => {
      const here = blocks[at] ?? Buffer.alloc(0);
      const instead = { out: [], twice: [here, here], foreign: [other.blocks[at] ?? here] }[what];
      const maxBlocks = what === 'twice' ? at + 1 : at;
      return expectRefused(Buffer.concat([start, ...blocks.slice(0, at), ...instead, ...blocks.slice(at + 1)]), maxBlocks);
    }),
  );
});

test('the last block is refused anywhere else, and so is anything after it', async () => {
  const last = blocks.at(-1) ?? Buffer.alloc(0);
  for (const at of [0, JOB_BLOCKS - 1, JOB_BLOCKS, BLOCKS - 2]) {
    await expectRefused(Buffer.concat([start, ...blocks.slice(0, at), last]), at);
  }
  await expectRefused(Buffer.concat([start, ...blocks, last]), BLOCKS - 1);
  await expectRefused(Buffer.concat([start, ...blocks, Buffer.alloc(TAG_BYTES)]), BLOCKS - 1);
  await expectRefused(Buffer.concat([start, ...blocks, Buffer.alloc(1)]), BLOCKS - 1);
});

test('any bit that flips in a large file is found', async () => {
  const file = Buffer.concat([start, ...blocks]);
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: start.length, max: file.length - 1 }), fc.nat(7), async (at, bit) => {
      const changed = Buffer.from(file);
      changed[at] = (changed[at] ?? 0) ^ (1 << bit);
      await expectRefused(changed, Math.floor((at - start.length) / SEALED_BLOCK_BYTES));
    }),
  );
});

test('the header of another file does not fit', async () => {
  await expectRefused(Buffer.concat([other.start, ...blocks]), 0);
});
