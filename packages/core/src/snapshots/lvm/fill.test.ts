import { expect, test } from 'vitest';

import { parseFill } from './fill.ts';

/* The lines are those of real kernels; the documentation of the formats is in the kernel's Documentation/admin-guide/device-mapper. */

test.each([
  ['0 131072 snapshot 1600/16384 16', { share: 1600 / 16384, of: 'vg/s' }],
  ['0 131072 snapshot 16384/16384 80', { lost: 'vg/s is full', isFull: true }],
  ['0 131072 snapshot Invalid', { lost: 'vg/s is full', isFull: true }],
  ['0 131072 snapshot Overflow', { lost: 'vg/s is full', isFull: true }],
  ['0 131072 snapshot Merge failed', { lost: 'vg/s is in the state Merge', isFull: false }],
  ['0 131072 linear', { lost: 'vg/s is not a snapshot any more', isFull: false }],
  ['', { lost: 'vg/s is not a snapshot any more', isFull: false }],
])('a classic snapshot: %s', (line, fill) => {
  expect(parseFill(line, 'vg/s')).toEqual(fill);
});

test.each([
  ['2 112/1024 300/1536 - rw no_discard_passdown queue_if_no_space - 256', { share: 300 / 1536, of: 'the data space of thin pool vg/p' }],
  ['2 512/1024 300/1536 - rw no_discard_passdown queue_if_no_space - 256', { share: 0.5, of: 'the metadata space of thin pool vg/p' }],
  [
    '2 112/1024 1500/1536 - rw discard_passdown queue_if_no_space - 256',
    { lost: 'the data space of thin pool vg/p is 97 % full', isFull: true },
  ],
  [
    '2 112/1024 1536/1536 - out_of_data_space discard_passdown queue_if_no_space - 256',
    { lost: 'thin pool vg/p is out_of_data_space', isFull: true },
  ],
  ['2 112/1024 300/1536 - ro discard_passdown queue_if_no_space needs_check 256', { lost: 'thin pool vg/p is ro', isFull: false }],
  ['Fail', { lost: 'thin pool vg/p has failed', isFull: false }],
])('a thin pool: %s', (words, fill) => {
  expect(parseFill(`0 196608 thin-pool ${words}`, 'vg/p')).toEqual(fill);
});
