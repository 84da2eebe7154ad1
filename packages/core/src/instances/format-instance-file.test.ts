import fc from 'fast-check';
import { expect, test } from 'vitest';
import { sampleInstance } from '../../test/sample-instance.ts';
import { formatInstanceFile } from './format-instance-file.ts';
import { parseInstance } from './parse-instance.ts';
import { readYaml } from '../documents/read-yaml.ts';
import { INSTANCE_FILE } from './load-instance-file.ts';

const FROM = { baseDirectory: '/', hostName: 'other.example.com' };

/** Text as it may stand in one line: among it what YAML takes for numbers, truth values, null, dates and its own signs. */
const line = fc.oneof(
  fc.constantFrom(
    '010',
    '7e5',
    '.100',
    'true',
    'no',
    'null',
    '~',
    '',
    '0x1f',
    '1_000',
    '2026-11-26',
    '- a',
    '#a',
    '*a',
    '!a',
    '&a',
    '%a',
    '@a',
    'a: b',
    ' a ',
  ),
  fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !/[\p{Cc}\p{Cs}]/u.test(text)),
);
const parameters = fc.dictionary(fc.stringMatching(/^[a-z][a-z0-9_]{0,8}$/), fc.oneof(line, fc.constantFrom('a\nb\n', '\n', 'a\tb')), {
  maxKeys: 4,
});

test('is read as the same instance', () => {
  const instances = fc.record({
    osparams: parameters,
    hvparams: parameters,
    tags: fc.array(fc.constantFrom('web', '010', 'no', '~', '#1', '*', 'null'), { maxLength: 3 }),
    disks: fc.constantFrom(
      [],
      [
        { path: '/srv/010', access: 'ro' as const, size: 5, name: 'null' },
        { uri: 'rbd:a/b', access: 'rw' as const },
      ],
    ),
    nics: fc.array(
      fc.record({
        mac: fc.constant('aa:00:00:35:4c:01'),
        mode: fc.constant('bridged' as const),
        link: line,
        vlan: fc.constantFrom('.100', '', '100'),
      }),
      { maxLength: 2 },
    ),
  });
  fc.assert(
    fc.property(instances, (fields) => {
      const instance = sampleInstance(fields);
      expect(parseInstance(readYaml(formatInstanceFile(instance, { includePrivate: false }), 'x', INSTANCE_FILE).value, FROM)).toEqual(
        instance,
      );
    }),
  );
});

test('has private parameters only where they are asked for, and nothing empty', () => {
  const network = { name: 'lan', tags: [] };
  const nics = [{ mac: 'aa:00:00:35:4c:01', mode: 'bridged' as const, link: 'br0', network }];
  const instance = sampleInstance({ nics, osparams_private: { password: 'correct-horse' } });
  const text = formatInstanceFile(instance, { includePrivate: false });
  expect(text).not.toMatch(/correct-horse|osparams|disks|tags|\[\]|\{\}/);
  const withPrivate = formatInstanceFile(instance, { includePrivate: true });
  expect(parseInstance(readYaml(withPrivate, 'x', INSTANCE_FILE).value, FROM)).toEqual(instance);
});
