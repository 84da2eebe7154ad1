import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareExportIds, exportPrefix, makeExportId, parseExportId, parseExportReference } from './export-id.ts';

const time = fc.date({ min: new Date('1970-01-01T00:00:00Z'), max: new Date('9999-12-31T23:59:59Z'), noInvalidDate: true });
const ordinal = fc.integer({ min: 1, max: 999_999_999 });

describe('ids', () => {
  test('are the second of the start in UTC, with an ordinal where it was taken', () => {
    const started = new Date('2026-11-23T08:15:00.999Z');
    expect(makeExportId(started)).toBe('20261123T081500Z');
    expect(makeExportId(started, 2)).toBe('20261123T081500Z-2');
  });

  test('say when they began', () => {
    fc.assert(
      fc.property(time, ordinal, (started, ordinal) => {
        const seconds = new Date(Math.floor(started.getTime() / 1000) * 1000);
        expect(parseExportId(makeExportId(started, ordinal))).toEqual({ started: seconds, ordinal });
      }),
    );
  });

  test.each([
    '',
    'ganeti',
    '20261123T081500',
    '20261123T081500Z-1',
    '20261123T081500Z-02',
    '20261123T081500Z-0',
    '20261323T081500Z',
    '20260230T081500Z',
    '20261123T246000Z',
    '20261123T081500Zx',
  ])('%j is none', (id) => {
    expect(parseExportId(id)).toBeUndefined();
  });

  test('are ordered by age: by ordinal within a second, those without a time before all', () => {
    const ids = [
      '20261123T081500Z-10',
      '20261123T081501Z',
      'saved',
      '20261123T081500Z',
      'ganeti',
      '20261123T081500Z-2',
      '20251231T235959Z',
    ];
    expect(ids.toSorted(compareExportIds)).toEqual([
      'ganeti',
      'saved',
      '20251231T235959Z',
      '20261123T081500Z',
      '20261123T081500Z-2',
      '20261123T081500Z-10',
      '20261123T081501Z',
    ]);
  });

  test('compare as their times do', () => {
    fc.assert(
      fc.property(time, time, ordinal, ordinal, (a, b, m, n) => {
        const expected = Math.sign(Math.floor(a.getTime() / 1000) - Math.floor(b.getTime() / 1000) || m - n);
        expect(Math.sign(compareExportIds(makeExportId(a, m), makeExportId(b, n)))).toBe(expected);
      }),
    );
  });
});

describe('references', () => {
  test('name an instance, or one export of it', () => {
    expect(parseExportReference('web1.example.com')).toEqual({ instance: 'web1.example.com' });
    expect(parseExportReference('web1@20261123T081500Z-2')).toEqual({ instance: 'web1', id: '20261123T081500Z-2' });
    expect(parseExportReference('web1@ganeti')).toEqual({ instance: 'web1', id: 'ganeti' });
  });

  test.each([
    '',
    '@',
    'web1@',
    '@id',
    'web1@a@b',
    '../web1',
    'web1/x',
    'web1@../x',
    'web1@a/b',
    '/etc',
    '.web1',
    'web 1',
    'web1\n',
    'web1@a\0',
    'x'.repeat(300),
  ])('%j is none', (text) => {
    expect(() => parseExportReference(text)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });

  test('no matter what they are, the prefix that they lead to stays beneath the store', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('a', '.', '/', '@', '-', '\\', '\0', ' ') }), (text) => {
        let prefix: string;
        try {
          const { instance, id = 'x' } = parseExportReference(text);
          prefix = exportPrefix(instance, id);
        } catch {
          return;
        }
        expect(prefix).toMatch(/^[a-z][a-z.-]*\/([a-z][a-z.-]*\/)?$/);
      }),
      { numRuns: 2000 },
    );
  });
});
