import { expect, test } from 'vitest';
import type { FakeAnswer, FakeRequest, FakeService } from '../test/fake-service.ts';
import { document, refusal, startFakeService } from '../test/fake-service.ts';
import { openAt } from '../test/open-anywhere.ts';

/** A listing of versions. */
function listing(...entries: readonly string[]): FakeAnswer {
  return document(
    `<ListVersionsResult><Name>backups</Name><Prefix>exports/</Prefix><IsTruncated>false</IsTruncated>${entries.join('')}</ListVersionsResult>`,
  );
}

function version(key: string, id: string, size: number, day: number): string {
  return `<Version><Key>exports/${key}</Key><VersionId>${id}</VersionId><IsLatest>false</IsLatest><Size>${size}</Size><LastModified>2026-11-0${day}T00:00:00.000Z</LastModified></Version>`;
}

function marker(key: string, id: string, isLatest: boolean, day: number): string {
  return `<DeleteMarker><Key>exports/${key}</Key><VersionId>${id}</VersionId><IsLatest>${isLatest}</IsLatest><LastModified>2026-11-0${day}T00:00:00.000Z</LastModified></DeleteMarker>`;
}

/** The removals, without that of the probe. */
function removals({ seen }: FakeService): readonly FakeRequest[] {
  return seen.filter(({ kind, key }) => kind === 'delete' && !key.endsWith('.gantry-probe'));
}

test('the latest delete marker is removed although its time is before that of the newest version, which is the first that is listed', async () => {
  await using service = await startFakeService({
    list: ({ query }) =>
      query.has('versions')
        ? listing(marker('pack', 'm2', true, 3), version('pack', 'v2', 20, 4), marker('pack', 'm1', false, 2), version('pack', 'v1', 10, 5))
        : listing(),
  });
  await using store = await openAt(service.endpoint, {});
  const hidden = await Array.fromAsync(store.hidden?.('') ?? []);
  expect(hidden).toMatchObject([{ key: 'pack', size: 20, hidden: new Date('2026-11-03T00:00:00Z') }]);
  await store.unhide?.(hidden);
  expect(removals(service).map(({ query }) => query.get('versionId'))).toEqual(['m2']);
});

test('no object is removed for a delete marker without a version', async () => {
  await using service = await startFakeService({});
  await using store = await openAt(service.endpoint, {});
  const object = { key: 'pack', size: 1, modified: new Date(), hidden: new Date(), token: '' };
  await expect(store.unhide?.([object])).rejects.toMatchObject({ code: 'unsupported' });
  expect(removals(service)).toEqual([]);
});

test('after a failure no more markers are removed', async () => {
  await using service = await startFakeService({
    delete: ({ key }) => (key.endsWith('/0') ? refusal(403, 'AccessDenied') : { status: 204 }),
  });
  await using store = await openAt(service.endpoint, {});
  const objects = Array.from({ length: 400 }, (_, index) => ({
    key: `key/${index}`,
    size: 1,
    modified: new Date(),
    hidden: new Date(),
    token: 'm',
  }));
  await expect(store.unhide?.(objects)).rejects.toMatchObject({ code: 'denied' });
  const before = removals(service).length;
  for (let looks = 0; looks < 5; looks += 1) await Array.fromAsync(store.list(''));
  expect(removals(service)).toHaveLength(before);
});
