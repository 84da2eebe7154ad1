import { expect, test } from 'vitest';
import { prometheusText } from './prometheus.ts';

test('figures have labels where there are any, with their special characters escaped', () => {
  const figure = { name: 'gantry_x', unit: '', help: 'a \\ b', samples: [] } as const;
  const samples = [
    { labels: {}, value: 1 },
    { labels: { node: 'a"b\\c\nd' }, value: 2 },
  ];
  expect(prometheusText([{ ...figure, samples }])).toBe(
    '# HELP gantry_x a \\\\ b\n# TYPE gantry_x gauge\ngantry_x 1\ngantry_x{node="a\\"b\\\\c\\nd"} 2\n',
  );
});
