import type { ListedExport } from '@gantry/core';
import { describe, expect, test } from 'vitest';
import { describeListing } from './list.ts';

const DAY_MS = 24 * 60 * 60 * 1000;

const sound: ListedExport = {
  reference: 'web1.example.com@20261123T081500Z',
  instance: 'web1.example.com',
  id: '20261123T081500Z',
  origin: 'gantry',
  state: 'complete',
  started: new Date(Date.now() - 12.5 * DAY_MS),
  os: 'raw',
  disks: 2,
  plainBytes: 1.5 * 1024 ** 4,
  storedBytes: 101 * 1024 ** 3,
  ownBytes: 33.3 * 1024 ** 2,
  verified: { at: new Date(Date.now() - 3.5 * DAY_MS), depth: 'stored', result: 'sound' },
};
const { verified: _verified, plainBytes: _plainBytes, ...rest } = sound;
const damaged: ListedExport = { ...rest, reference: 'web1.example.com@20261124T081500Z', state: 'damaged', reason: 'disk0.zst is gone' };
const listing = { exports: [sound, damaged], removed: [{ reference: 'web1.example.com@20261101T081500Z', storedBytes: 2 * 1024 ** 3 }] };

describe('the table of gantry list', () => {
  test.each([
    [200, 'EXPORT STATE AGE DISKS PLAIN STORED OWN VERIFIED'],
    [80, 'EXPORT STATE STORED OWN VERIFIED'],
    [60, 'EXPORT STATE STORED'],
    [40, 'EXPORT STATE'],
  ])('says on %s columns what matters most', (width, heading) => {
    const lines = describeListing(listing, width);
    expect(lines[0]?.replaceAll(/ +/g, ' ')).toBe(heading);
    if (width > 40) for (const line of lines.slice(0, 3)) expect(line.length).toBeLessThanOrEqual(width);
  });

  test('says everything where nothing limits it: in a file, for a program', () => {
    const [, first, second] = describeListing(listing, Infinity);
    expect(first).toMatch(
      /^web1\.example\.com@20261123T081500Z {2}complete {2}12 d {2}2 {6}1\.50 TiB {2}101 GiB {2}33\.3 MiB {2}3 d \(stored\)$/,
    );
    expect(second).toMatch(/^web1\.example\.com@20261124T081500Z {2}damaged {3}12 d {2}2 {6}- {9}101 GiB {2}33\.3 MiB {2}-$/);
  });

  test('says below it what is wrong, and totals at the end', () => {
    expect(describeListing(listing, 80).slice(3)).toEqual([
      '',
      'web1.example.com@20261124T081500Z is damaged: disk0.zst is gone',
      '',
      '2 exports of 1 instance: 1.50 TiB plain, 202 GiB stored',
      '2.00 GiB of a removed export are kept for others; gantry prune deletes what nothing needs',
    ]);
  });
});
