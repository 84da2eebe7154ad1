import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, describe, expect, test } from 'vitest';
import { Identities, Recipients } from './index.ts';
import { JOB_BLOCKS } from './block-job.ts';
import { BLOCK_BYTES } from './payload.ts';
import { chunksOf, collect, sourceOf } from './testing/files.ts';

/* Debian's `age`, both ways. */

const run = promisify(execFile);
const directory = await mkdtemp(join(tmpdir(), 'gantry-age-'));
afterAll(() => rm(directory, { recursive: true }));
const path = (name: string): string => join(directory, name);

await run('age-keygen', ['-o', path('key')]);
const identities = Identities.parse(await readFile(path('key'), 'utf8'));
const [recipient = ''] = await identities.recipients();
const recipients = Recipients.of([recipient]);

const sizes = [1, 2, JOB_BLOCKS, JOB_BLOCKS + 1, 2 * JOB_BLOCKS, 3 * JOB_BLOCKS + 2].flatMap((blocks) =>
  [-1, 0, 1].map((more) => blocks * BLOCK_BYTES + more),
);

describe.each([0, 1, ...sizes])('a file of %i bytes', (size) => {
  const plain = randomBytes(size);

  test('is decrypted by age', async () => {
    const file = await recipients.startFile();
    await writeFile(path('ours'), await collect(file.encrypt(chunksOf(plain, 100_000))));
    const { stdout } = await run('age', ['-d', '-i', path('key'), path('ours')], { encoding: 'buffer', maxBuffer: 2 * size + 1 });
    expect(stdout.equals(plain)).toBe(true);
  });

  test('of age is decrypted, in any part', async () => {
    await writeFile(path('in'), plain);
    await run('age', ['-r', recipient, '-o', path('theirs'), path('in')]);
    const sealed = await identities.open(sourceOf(await readFile(path('theirs')), 100_000));
    expect(sealed.plainBytes).toBe(size);
    expect((await collect(sealed.read())).equals(plain)).toBe(true);
    for (const at of [0, size - BLOCK_BYTES - 1, size - BLOCK_BYTES, size - 1].filter((each) => each >= 0)) {
      const length = Math.min(size - at, BLOCK_BYTES);
      expect((await collect(sealed.read(at, length))).equals(plain.subarray(at, at + length))).toBe(true);
    }
  });
});

test('a file of age for two thousand recipients is read by the last of them, and one whose header is too long is refused', async () => {
  const keys = await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      await run('age-keygen', ['-o', path(`many-${index}`)]);
      return (await Identities.parse(await readFile(path(`many-${index}`), 'utf8')).recipients())[0] ?? '';
    }),
  );
  await writeFile(path('in'), 'hello');
  const sealFor = async (count: number): Promise<Buffer> => {
    const lines = Array.from({ length: count }, (_, index) => keys[index % keys.length] ?? '');
    await writeFile(path('recipients'), [...lines, recipient].join('\n'));
    await run('age', ['-R', path('recipients'), '-o', path('many'), path('in')]);
    return await readFile(path('many'));
  };
  const sealed = await identities.open(sourceOf(await sealFor(2000)));
  expect((await collect(sealed.read())).toString()).toBe('hello');
  const tooLong = sourceOf(await sealFor(3000));
  await expect(identities.open(tooLong)).rejects.toMatchObject({ code: 'damaged', message: expect.stringMatching(/header/) });
});
