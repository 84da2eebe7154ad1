import type { IncomingMessage, ServerResponse } from 'node:http';
import { isStoreError } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import { openAt } from '../../test/open-anywhere.ts';
import { serve } from '../../test/serve.ts';

/*
 * Listings that no real service we have would send: a fake one sends them.
 */

const PAGE = 3;
const name = (index: number): string => `exports/k${String(index).padStart(5, '0')}`;
const entry = (index: number): string =>
  `<Contents><Key>${name(index)}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified><ETag>"e"</ETag><Size>1</Size></Contents>`;
const listing = (entries: readonly number[], more: string): string =>
  `<?xml version="1.0"?><ListBucketResult><Name>backups</Name>${more}${entries.map(entry).join('')}</ListBucketResult>`;
const range = (from: number, count: number): readonly number[] => Array.from({ length: count }, (_, index) => from + index);

/** The result of listing from a service that answers each request with a document. */
async function list(answer: (query: URLSearchParams, count: number) => string): Promise<readonly string[]> {
  let count = 0;
  await using service = await serve((request, response) => {
    request.resume();
    response.writeHead(200, { 'content-type': 'application/xml' });
    response.end(answer(new URL(request.url ?? '', 'http://x').searchParams, (count += 1)));
  });
  await using store = await openAt(service.endpoint, { conditionalWrites: 'none' });
  return (await Array.fromAsync(store.list(''))).map(({ key }) => key);
}

describe('a listing', () => {
  test('without tokens, as in version 1 of the request, continues after the last key', async () => {
    const keys = await list((query) => {
      const marker = query.get('marker') ?? '';
      const from = marker === '' ? 0 : Number(marker.slice(-5)) + 1;
      return listing(range(from, PAGE), `<IsTruncated>${from < 6}</IsTruncated>`);
    });
    expect(keys).toEqual(range(0, 9).map((index) => name(index).slice('exports/'.length)));
  });

  test.each<[string, Parameters<typeof list>[0]]>([
    ['repeats its first page forever, without tokens', () => listing(range(0, PAGE), '<IsTruncated>true</IsTruncated>')],
    [
      'repeats its first page for ever, with ever other tokens',
      (_, count) => listing(range(0, PAGE), `<IsTruncated>true</IsTruncated><NextContinuationToken>${count}</NextContinuationToken>`),
    ],
    [
      'is empty, and goes on with the same token',
      () => listing([], '<IsTruncated>true</IsTruncated><NextContinuationToken>t</NextContinuationToken>'),
    ],
    [
      'is empty, and goes on with ever other tokens',
      (_, count) => listing([], `<IsTruncated>true</IsTruncated><NextContinuationToken>${count}</NextContinuationToken>`),
    ],
    ['is empty and says that more follows, but not where', () => listing([], '<IsTruncated>true</IsTruncated>')],
    ['is out of order', () => listing([2, 1], '<IsTruncated>false</IsTruncated>')],
  ])('that %s is refused, and is not called damage on the way', async (_, answer) => {
    const failure = await list(answer).then(
      () => undefined,
      (error: unknown) => error,
    );
    if (!isStoreError(failure, 'unsupported')) throw failure;
    expect(failure.message).toMatch(/^listing s3:\/\/backups\/exports\/: the service (repeats what it has listed|says that more follows)/);
    expect(failure.hint).toContain('ListObjectsV2');
  });
});

describe('the listing of unfinished uploads', () => {
  const uploads = (more: string): string =>
    `<?xml version="1.0"?><ListMultipartUploadsResult><Bucket>backups</Bucket>${more}</ListMultipartUploadsResult>`;
  const truncated = (marker: string): string =>
    uploads(`<IsTruncated>true</IsTruncated><NextKeyMarker>${marker}</NextKeyMarker><NextUploadIdMarker>u</NextUploadIdMarker>`);

  test.each<[string, (count: number) => string]>([
    ['does not move forward', () => truncated('k')],
    ['never ends', (count) => truncated(`k${count}`)],
    ['says that more follow, but not where', () => uploads('<IsTruncated>true</IsTruncated>')],
  ])('that %s is refused', async (_, answer) => {
    let count = 0;
    await using service = await serve((request, response) => {
      request.resume();
      response.writeHead(200, { 'content-type': 'application/xml' }).end(answer((count += 1)));
    });
    await using store = await openAt(service.endpoint, { conditionalWrites: 'none' });
    await expect(Array.fromAsync(store.pending(''))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('the listing of the service does not end'),
    });
  });

  test('is refused if the listing of parts never ends', async () => {
    await using service = await serve((request, response) => {
      request.resume();
      const query = new URL(request.url ?? '', 'http://x').searchParams;
      response.writeHead(200, { 'content-type': 'application/xml' });
      response.end(
        query.has('uploads')
          ? uploads('<IsTruncated>false</IsTruncated><Upload><Key>exports/k</Key><UploadId>u</UploadId></Upload>')
          : '<?xml version="1.0"?><ListPartsResult><IsTruncated>true</IsTruncated><NextPartNumberMarker>1</NextPartNumberMarker></ListPartsResult>',
      );
    });
    await using store = await openAt(service.endpoint, { conditionalWrites: 'none' });
    await expect(Array.fromAsync(store.pending(''))).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('says that more follow, but not where'),
    });
  });
});

describe('memory', () => {
  const MEBIBYTE = 2 ** 20;
  /** Measured: at most 27 MiB; 386 MiB without limits. */
  const BOUND_BYTES = 200 * MEBIBYTE;

  const endless =
    (status: number, start: string, chunk: string) =>
    (request: IncomingMessage, response: ServerResponse): void => {
      request.resume();
      response.writeHead(status, { 'content-type': 'application/xml' });
      const piece = Buffer.from(chunk.repeat(Math.ceil(65_536 / chunk.length)));
      const more = (): void => {
        while (!response.destroyed && response.write(piece));
      };
      response.on('drain', more).write(start);
      more();
    };

  test.each<[string, (request: IncomingMessage, response: ServerResponse) => void]>([
    ['an error that never ends', endless(500, '<Error><Code>InternalError</Code>', '<a/>')],
    ['an error whose message never ends', endless(403, '<Error><Code>AccessDenied</Code><Message>', 'x')],
    ['a listing that never ends', endless(200, '<ListBucketResult><Name>b</Name>', '<Contents/>')],
    ['a listing with a key that never ends', endless(200, '<ListBucketResult><Name>b</Name><Contents><Key>', 'x')],
    [
      'a page with half a million entries',
      (request, response) => {
        request.resume();
        response.writeHead(200, { 'content-type': 'application/xml' });
        response.end(`<ListBucketResult><Name>b</Name>${'<Contents/>'.repeat(500_000)}</ListBucketResult>`);
      },
    ],
    [
      'an error of 5 MB',
      (request, response) => {
        request.resume();
        response.writeHead(500, { 'content-type': 'application/xml' });
        response.end(`<Error><Code>InternalError</Code>${'<a/>'.repeat(1_250_000)}</Error>`);
      },
    ],
  ])('is bounded for %s', async (_, answer) => {
    await using service = await serve(answer);
    await using store = await openAt(service.endpoint, { conditionalWrites: 'none' });
    const before = process.memoryUsage().rss;
    let maxBytes = before;
    const watch = setInterval(() => (maxBytes = Math.max(maxBytes, process.memoryUsage().rss)), 10);
    try {
      const failure = await Array.fromAsync(store.list('')).then(
        () => undefined,
        (error: unknown) => error,
      );
      expect(isStoreError(failure)).toBe(true);
    } finally {
      clearInterval(watch);
    }
    expect(Math.max(maxBytes, process.memoryUsage().rss) - before).toBeLessThan(BOUND_BYTES);
  });
});
