import { expect, test } from 'vitest';
import { clusterWith } from '../test/fake-cluster.ts';
import { findInstanceName } from './instance-names.ts';

const { cluster } = clusterWith('running', {}, [
  'web1.example.com',
  'web1.example.net',
  'web1',
  'db1.example.com',
  'db1.example.net',
  'a/b.example.com',
]);

test.each([
  ['web1', 'web1'],
  ['web1.example', undefined],
  ['web1.example.net', 'web1.example.net'],
  ['WEB1', undefined],
  ['a/b', undefined],
])('%s means %s', async (name, fullName) => {
  const found = findInstanceName(cluster, name, {});
  if (fullName === undefined) await expect(found).rejects.toMatchObject({ code: expect.stringMatching(/^(not-found|ambiguous)$/) });
  else expect(await found).toBe(fullName);
});

test('a name of two instances is ambiguous', async () => {
  await expect(findInstanceName(cluster, 'db1', {})).rejects.toMatchObject({
    code: 'ambiguous',
    details: ['db1.example.com', 'db1.example.net'],
  });
});
