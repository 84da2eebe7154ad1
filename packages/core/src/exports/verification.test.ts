import { expect, test } from 'vitest';
import { sampleInstance, sampleManifest, sampleRecord } from '../../test/sample-export.ts';
import type { ExportVerifications, RememberedDepth, Verification } from './verification.ts';
import { lastVerification, mergeVerifications, parseVerifications, renderVerifications } from './verification.ts';

function found(day: number, result: Verification['result']): Verification {
  return { at: `2026-11-0${day}T00:00:00.000Z`, result, objects: [] };
}

test.each<readonly [string, ExportVerifications, RememberedDepth, Verification['result']]>([
  ['of the same depth', { stored: found(2, 'sound') }, 'stored', 'sound'],
  ['that is less deep', { frames: found(1, 'damaged'), stored: found(2, 'sound') }, 'frames', 'damaged'],
  ['that is deeper', { stored: found(1, 'damaged'), frames: found(2, 'sound') }, 'frames', 'sound'],
  ['that is deeper, and older', { stored: found(2, 'damaged'), frames: found(1, 'sound') }, 'stored', 'damaged'],
  ['that does not read all files', { frames: found(1, 'damaged'), rehearsal: found(2, 'sound') }, 'frames', 'damaged'],
  ['that runs no scripts', { rehearsal: found(1, 'damaged'), frames: found(2, 'sound') }, 'rehearsal', 'damaged'],
])('damage and a verification %s', async (_what, known, depth, result) => {
  const last = await lastVerification({ instance: 'web1', id: '1' }, () => Promise.resolve(new Map([['1', known]])));
  expect(last).toMatchObject({ depth, result });
});

test.each<readonly [string, Partial<Verification>, Verification['result'] | undefined]>([
  ['a pack that is needed', { damagedObjects: ['a'] }, 'damaged'],
  ['a pack that is needed, before the other one was there', { objects: ['a'], damagedObjects: ['a'] }, 'damaged'],
  ['another pack', { damagedObjects: ['c'] }, 'sound'],
  ['another pack, before one that is needed was there', { objects: ['a', 'c'], damagedObjects: ['c'] }, undefined],
  ['something that is not said', {}, 'damaged'],
])('damage in the directory of another export: to %s', async (_what, record, result) => {
  const packs = ['a', 'b'].map((letter) => ({
    instance: sampleInstance.name,
    exportId: '1',
    name: `${letter}.img`,
    codec: 'none' as const,
    size: 10,
    sha256: letter.repeat(64),
  }));
  const dump = { ...sampleRecord(0, 'x'), storedBytes: 0, map: { size: 10, sha256: 'd'.repeat(64), cut: 'place' as const, packs } };
  const markOf = (letter: string): string => letter.repeat(16);
  const { objects = ['a', 'b', 'c'], damagedObjects } = record;
  const other = { ...found(1, 'damaged'), objects: objects.map(markOf) };
  const known = new Map<string, ExportVerifications>([
    ['1', { stored: damagedObjects === undefined ? other : { ...other, damagedObjects: damagedObjects.map(markOf) } }],
    ['2', { stored: found(2, 'sound') }],
  ]);
  const manifest = sampleManifest('2', [dump]);
  const last = await lastVerification({ instance: sampleInstance.name, id: '2', manifest }, () => Promise.resolve(known));
  expect(last?.result).toBe(result);
});

test('of two hosts that tried a verification in vain, the later counts, unless its clock is wrong', () => {
  const tried = (stored: string): ReadonlyMap<string, ExportVerifications> =>
    parseVerifications(renderVerifications(new Map([['1', { stored: found(1, 'sound'), tried: { stored } }]])));
  const [first, second, future] = ['2026-11-01T00:00:00.000Z', '2026-11-02T00:00:00.000Z', '2126-01-01T00:00:00.000Z'].map(tried);
  if (first === undefined || second === undefined || future === undefined) throw new Error('missing');
  expect(mergeVerifications(mergeVerifications(second, first), future)).toEqual(second);
});
