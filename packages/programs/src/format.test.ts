import { expect, test } from 'vitest';
import { formatTable } from './format.ts';

test('a table has any number of rows, and columns as wide as their widest cell', () => {
  const rows = [['a', 'b'], ...Array.from({ length: 150_000 }, () => ['web1', 'x']), ['web10', 'y']];
  const lines = formatTable(rows);
  expect(lines).toHaveLength(rows.length);
  expect([lines[0], lines[1], lines.at(-1)]).toEqual(['a      b', 'web1   x', 'web10  y']);
});
