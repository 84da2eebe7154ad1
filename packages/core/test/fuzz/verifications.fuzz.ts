import { isDeepStrictEqual } from 'node:util';
import type { FuzzTarget } from '@gantry/testkit';
import { mergeVerifications, parseVerifications, renderVerifications } from '../../src/exports/verification.ts';
import { recordTarget } from './records.ts';

const found = { at: '2026-11-23T08:15:00.000Z', result: 'damaged', problem: 'a frame', objects: ['0123456789abcdef'], damagedObjects: [] };

/** What verifications found, as hosts have left it in a store. */
const target: FuzzTarget = recordTarget({
  seeds: () => [
    JSON.stringify({
      format: 'gantry-verified',
      version: 1,
      exports: { '20261122T081500Z': { stored: found, frames: { ...found, result: 'sound' }, tried: { rehearsal: found.at } }, ganeti: {} },
    }),
  ],
  words: ['stored', 'frames', 'rehearsal', 'tried', 'sound'],
  parse: parseVerifications,
  use(verifications) {
    const again = parseVerifications(renderVerifications(verifications));
    if (!isDeepStrictEqual(again, verifications)) throw new Error('it changed on its round trip');
    mergeVerifications(verifications, again);
  },
});

export default target;
