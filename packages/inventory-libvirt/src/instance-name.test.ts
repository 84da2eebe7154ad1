import { expect, test } from 'vitest';
import { instanceName } from './instance-name.ts';

const UUID = '1b4e28ba-2fa1-11d2-883f-0016d3cca427';

test.each([
  ['web1.example.com', 'web1.example.com'],
  ['7', '7'],
  ['Windows 10', 'Windows-10-1b4e28ba'],
  ['web_1', 'web-1-1b4e28ba'],
  ['-web1', 'web1-1b4e28ba'],
  ['../etc/passwd', 'etc-passwd-1b4e28ba'],
  ['серверок', UUID],
  ['a'.repeat(64), `${'a'.repeat(50)}-1b4e28ba`],
  [`${'a'.repeat(49)} b`, `${'a'.repeat(49)}-1b4e28ba`],
])('a domain %j is the instance %s', (name, instance) => {
  expect(instanceName(name, UUID)).toBe(instance);
});
