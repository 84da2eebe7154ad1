import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { BytesList } from '../system/number-lists.ts';
import { DIGEST_BYTES } from '../system/sha256.ts';
import { DigestIndex } from './digest-index.ts';

const digestOf = (value: number | string): Buffer => createHash('sha256').update(String(value)).digest();

test('each of many digests is found, and no other; of equal ones the first', () => {
  const list = new BytesList(DIGEST_BYTES);
  const index = new DigestIndex((entry) => list.at(entry));
  for (let value = 0; value < 20_000; value += 1) {
    list.push(digestOf(value % 15_000));
    index.add(value);
  }
  for (let value = 0; value < 15_000; value += 1) expect(index.find(digestOf(value))).toBe(value);
  expect(index.find(digestOf('another'))).toBeUndefined();
});

test('digests that begin alike are distinguished', () => {
  const list = new BytesList(DIGEST_BYTES);
  const index = new DigestIndex((entry) => list.at(entry));
  const alike = Array.from({ length: 3000 }, (_, last) => Buffer.concat([Buffer.alloc(28), Buffer.from(Uint32Array.of(last).buffer)]));
  for (const [entry, digest] of alike.entries()) {
    list.push(digest);
    if (entry % 2 === 0) index.add(entry);
  }
  for (const [entry, digest] of alike.entries()) expect(index.find(digest)).toBe(entry % 2 === 0 ? entry : undefined);
});
