import { describe, expect, test } from 'vitest';
import { parseDelta } from './thin-changes.ts';

/*
 * What thin_delta 0.9 of Debian prints; on real pools it runs in apps/cli/test/lvm-snapshots.test.ts.
 */

const BLOCK = 64 * 1024;

function delta(...lines: readonly string[]): string {
  const body = lines.map((line) => `    ${line}`).join('\n');
  return `<superblock uuid="" time="2" transaction="3" data_block_size="128" nr_data_blocks="0">\n  <diff left="1" right="2">\n${body}\n  </diff>\n</superblock>\n`;
}

describe('what thin_delta says', () => {
  test('is everything but what is the same, in order', () => {
    const text = delta(
      '<same begin="0" length="16"/>',
      '<right_only begin="40" length="2"/>',
      '<different begin="16" length="3"/>',
      '<left_only begin="30" length="1"/>',
    );
    expect(parseDelta(text)).toEqual([
      { offset: 16 * BLOCK, length: 3 * BLOCK },
      { offset: 30 * BLOCK, length: BLOCK },
      { offset: 40 * BLOCK, length: 2 * BLOCK },
    ]);
    expect(parseDelta(delta('<same begin="0" length="1024"/>'))).toEqual([]);
  });

  test.each([
    ['nothing', ''],
    ['only its end', delta('<same begin="0" length="1"/>').slice(50)],
    ['only its start', delta('<same begin="0" length="1"/>').slice(0, -20)],
  ])('is refused if there is %s', (_, text) => {
    expect(() => parseDelta(text)).toThrow('not a comparison');
  });
});
