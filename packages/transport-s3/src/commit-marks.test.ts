import type { Store } from '@gantry/transport';
import { describe, expect, test } from 'vitest';
import type { FakeAnswer, FakeRequest, FakeService, RequestKind } from '../test/fake-service.ts';
import { document, etagOf, refusal, startFakeService } from '../test/fake-service.ts';
import { MiB, bytesOf, write } from '../test/objects.ts';
import { openAt } from '../test/open-anywhere.ts';

/*
 * Marks of several writers of one key. Each of these tests fails without the one guard that it is for.
 */

const LARGE = bytesOf('marks', 11 * MiB);
const MARKS = 'exports/.gantry-commit/';

/** A service that keeps one mark, and knows which uploads are alive. */
class Marks {
  mark: { readonly body: string; readonly etag: string } | undefined;
  readonly alive = new Set<string>();
  /** How this service compares an ETag in a condition. */
  sameEtag = (condition: string, etag: string): boolean => condition === `"${etag}"`;

  set(key: string, uploadId: string): void {
    const body = JSON.stringify({ key, uploadId });
    this.mark = { body, etag: etagOf(Buffer.from(body)).replaceAll('"', '') };
  }

  /** The upload that the mark names. */
  get owner(): string | undefined {
    return /"uploadId":"([^"]*)"/.exec(this.mark?.body ?? '')?.[1];
  }

  answers(): Partial<Record<RequestKind, (request: FakeRequest, count: number) => FakeAnswer>> {
    return {
      put: ({ key, body, headers }) => {
        if (!key.startsWith(MARKS)) return { headers: { etag: etagOf(body) } };
        const condition = headers['if-match'];
        const refused =
          typeof condition === 'string'
            ? this.mark === undefined || !this.sameEtag(condition, this.mark.etag)
            : headers['if-none-match'] === '*' && this.mark !== undefined;
        if (refused) return refusal(412, 'PreconditionFailed');
        this.mark = { body: body.toString(), etag: etagOf(body).replaceAll('"', '') };
        return { headers: { etag: etagOf(body) } };
      },
      get: () => (this.mark === undefined ? refusal(404, 'NoSuchKey') : { headers: { etag: `"${this.mark.etag}"` }, body: this.mark.body }),
      delete: () => {
        this.mark = undefined;
        return { status: 204 };
      },
      'list-parts': ({ query }) =>
        this.alive.has(query.get('uploadId') ?? '')
          ? document('<ListPartsResult><IsTruncated>false</IsTruncated></ListPartsResult>')
          : refusal(404, 'NoSuchUpload'),
      // The object does not appear: these writes fail, and it is their marks that count.
      complete: () => refusal(404, 'NoSuchUpload'),
      list: () =>
        document(
          `<ListBucketResult><Name>backups</Name><IsTruncated>false</IsTruncated><Contents><Key>${MARKS}m</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified><Size>40</Size></Contents></ListBucketResult>`,
        ),
    };
  }
}

const open = (service: FakeService): Promise<Store> => openAt(service.endpoint, { conditionalWrites: 'put', firstPartSize: '5MiB' });

const completions = (service: FakeService): number => service.seen.filter(({ kind }) => kind === 'complete').length;

describe('the mark of a writer that completes an upload', () => {
  test('stays if another writer took it over: otherwise a third one could complete at the same time', async () => {
    const marks = new Marks();
    await using service = await startFakeService({
      ...marks.answers(),
      complete: () => {
        // Our upload was cleared, and a second writer, which found it gone, is now completing its own.
        marks.set('k', 'second');
        return refusal(404, 'NoSuchUpload');
      },
    });
    await using store = await open(service);
    await expect(write(store, 'k', LARGE)).rejects.toMatchObject({ code: 'not-found' });
    expect(marks.owner).toBe('second');
  });

  test('is removed afterwards', async () => {
    const marks = new Marks();
    await using service = await startFakeService(marks.answers());
    await using store = await open(service);
    await write(store, 'k', LARGE).catch(() => undefined);
    expect(completions(service)).toBe(1);
    expect(marks.mark).toBeUndefined();
  });

  test('is recognized as its own if the answer to its request was lost', async () => {
    const marks = new Marks();
    marks.set('k', 'u1');
    marks.alive.add('u1');
    await using service = await startFakeService(marks.answers());
    await using store = await open(service);
    await write(store, 'k', LARGE).catch(() => undefined);
    expect(completions(service)).toBe(1);
  });

  test('blocks other writers as long as its upload exists', async () => {
    const marks = new Marks();
    marks.set('k', 'other');
    marks.alive.add('other');
    await using service = await startFakeService(marks.answers());
    await using store = await open(service);
    await expect(write(store, 'k', LARGE)).rejects.toMatchObject({ code: 'exists' });
    expect(completions(service)).toBe(0);
    expect(marks.owner).toBe('other');
  });

  test.each([
    ['with quotation marks', (condition: string, etag: string) => condition === `"${etag}"`],
    ['without quotation marks, like Ceph', (condition: string, etag: string) => condition === etag],
  ])('is taken over once its upload is gone, by a service that compares ETags %s', async (_, sameEtag) => {
    const marks = new Marks();
    marks.sameEtag = sameEtag;
    marks.set('k', 'gone');
    await using service = await startFakeService(marks.answers());
    await using store = await open(service);
    await write(store, 'k', LARGE).catch(() => undefined);
    expect(completions(service)).toBe(1);
  });

  test('is not taken over if a third writer did so first', async () => {
    const marks = new Marks();
    marks.set('k', 'gone');
    const answers = marks.answers();
    await using service = await startFakeService({
      ...answers,
      'list-parts': (request, count) => {
        const answer = answers['list-parts']?.(request, count) ?? {};
        // Between our look at the upload that is gone and our request, the third writer replaces the mark.
        if (request.query.get('uploadId') === 'gone') {
          marks.set('k', 'third');
          marks.alive.add('third');
        }
        return answer;
      },
    });
    await using store = await open(service);
    await expect(write(store, 'k', LARGE)).rejects.toMatchObject({ code: 'exists' });
    expect(completions(service)).toBe(0);
    expect(marks.owner).toBe('third');
  });

  test('is listed as an unfinished write of its own key only', async () => {
    const marks = new Marks();
    marks.set('here/k', 'gone');
    await using service = await startFakeService(marks.answers());
    await using store = await open(service);
    expect(await Array.fromAsync(store.pending('here/'))).toMatchObject([{ key: 'here/k', owner: 'dead' }]);
    expect(await Array.fromAsync(store.pending('elsewhere/'))).toEqual([]);
  });
});

describe('a commit that is undone', () => {
  test('removes exactly the version that it wrote', async () => {
    let put: FakeRequest | undefined;
    await using service = await startFakeService({
      put: (request) => {
        put = request;
        return { headers: { etag: etagOf(request.body), 'x-amz-version-id': 'v7' } };
      },
      head: () => {
        if (put === undefined) return { status: 404 };
        const id = put.headers['x-amz-meta-gantry-write'];
        return {
          headers: {
            etag: '"damaged"',
            'content-length': String(put.body.length),
            'x-amz-version-id': 'v7',
            'x-amz-meta-gantry-write': typeof id === 'string' ? id : '',
          },
        };
      },
    });
    await using store = await open(service);
    const small = LARGE.subarray(0, 1000);
    await expect(write(store, 'k', small, { expectedBytes: small.length })).rejects.toMatchObject({ code: 'integrity' });
    const removals = service.seen.filter(({ kind }) => kind === 'delete');
    expect(removals.map(({ key, query }) => [key, query.get('versionId')])).toEqual([['exports/k', 'v7']]);
  });
});
