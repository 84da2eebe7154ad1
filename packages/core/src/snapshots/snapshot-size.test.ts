import { expect, test } from 'vitest';

import { parseSnapshotConfig } from './snapshot-config.ts';
import { parseSnapshotSize, snapshotBytes } from './snapshot-size.ts';

const GIB = 1024 ** 3;

test.each([
  ['1048576', 1048576],
  ['512M', 512 * 1024 ** 2],
  ['512MiB', 512 * 1024 ** 2],
  ['5g', 5 * GIB],
  ['10%', 10 * GIB],
  ['100%', 100 * GIB],
])('%s of a disk of 100 GiB', (text, bytes) => {
  expect(snapshotBytes(parseSnapshotSize(text), 100 * GIB)).toBe(bytes);
});

test.each(['', '0', '0%', '101%', '-1G', '1.5G', '5X', '5 G', '%', '999999999999999T'])('"%s" is not a size', (text) => {
  expect(() => parseSnapshotSize(text)).toThrow('such as 512M, 5GiB, or 20% of the disk');
});

test('stands in the configuration too, there also alone', () => {
  expect(parseSnapshotConfig('size: 20%', 'test').size).toEqual({ percent: 20 });
  expect(parseSnapshotConfig('size: 4096', 'test').size).toEqual({ bytes: 4096 });
  expect(() => parseSnapshotConfig('size: much', 'test')).toThrow('size: It must be a size above 0');
  expect(() => parseSnapshotConfig('timeouts: {}', 'test')).toThrow(
    'is missing: there must be at least create, freeze, pause, size, qemu or libvirt',
  );
});
