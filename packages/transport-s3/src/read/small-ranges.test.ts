import { expect, test } from 'vitest';
import { openAt } from '../../test/open-anywhere.ts';
import { serve } from '../../test/serve.ts';
import { RANGE_BYTES } from './s3-byte-source.ts';

const OBJECT_BYTES = 4 * RANGE_BYTES;
const SOURCES = 40;

test('many small ranges that are read at once take little memory', async () => {
  await using service = await serve((request, response) => {
    request.resume();
    const [, from = '0', to = '0'] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
    const length = Number(to) - Number(from) + 1;
    response.writeHead(206, { 'content-range': `bytes ${from}-${to}/${OBJECT_BYTES}`, 'content-length': length, etag: '"e"' });
    response.end(Buffer.alloc(length, 'x'));
  });
  await using store = await openAt(service.endpoint, { conditionalWrites: 'none' });
  const before = process.memoryUsage().arrayBuffers;
  const readers: AsyncIterator<Uint8Array>[] = [];
  for (let number = 0; number < SOURCES; number += 1) {
    const source = await store.read('pack', { offset: number * 1000, length: 1000 });
    const reader = source[Symbol.asyncIterator]();
    expect((await reader.next()).value).toHaveLength(1000);
    readers.push(reader);
  }
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan((SOURCES * RANGE_BYTES) / 8);
  for (const reader of readers) expect(await reader.next()).toMatchObject({ done: true });
});
