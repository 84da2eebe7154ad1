import { expect, test } from 'vitest';
import { trimSlashes } from './trim-slashes.ts';

test.each([
  ['/srv/exports', '/srv/exports'],
  ['/srv/exports/', '/srv/exports'],
  ['//srv//exports///', '//srv//exports'],
  ['///', ''],
  ['', ''],
])('%j without the slashes at its end is %j', (path, trimmed) => {
  expect(trimSlashes(path)).toBe(trimmed);
});
