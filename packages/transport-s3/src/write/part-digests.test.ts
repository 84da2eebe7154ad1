import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { bytesOf } from '../../test/objects.ts';
import { PartDigests } from './part-digests.ts';

function partOf(seed: string, size: number): Buffer<ArrayBuffer> {
  const part = Buffer.allocUnsafeSlow(size);
  bytesOf(seed, size).copy(part);
  return part;
}

test('computes the MD5 of the filled part of each buffer, and returns the memory', async () => {
  await using digests = new PartDigests();
  const sizes = [1, 100_000, 3_000_000];
  const answers = await Promise.all(sizes.map((size) => digests.digest(partOf(`part ${size}`, 3_000_000), size)));
  for (const [index, { buffer, md5 }] of answers.entries()) {
    const whole = bytesOf(`part ${sizes[index]}`, 3_000_000);
    expect(md5).toBe(createHash('md5').update(whole.subarray(0, sizes[index])).digest('hex'));
    expect(buffer.equals(whole)).toBe(true);
  }
});

test('rejects waiting calls when it is disposed of', async () => {
  const digests = new PartDigests();
  const waiting = digests.digest(partOf('waiting', 1000), 1000);
  waiting.catch(() => undefined);
  await digests[Symbol.asyncDispose]();
  await expect(waiting).rejects.toThrow('the thread for digests ended');
});
