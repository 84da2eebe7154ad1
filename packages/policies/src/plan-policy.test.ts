import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { expect, test } from 'vitest';
import { sampleRequest } from '../test/request.ts';
import { planPolicy } from './plan-policy.ts';

test('a store that cannot take an export is named, and the instance would still be exported into the other', async () => {
  await using home = await makeTemporaryDirectory();
  const second = (): Partial<Store> => ({ space: () => Promise.resolve({ freeBytes: 1024 ** 3, readOnly: true }) });
  const { signal } = new AbortController();
  const request = await sampleRequest({ home, policy: 'stores: [first, second]', signal, second });
  expect(await planPolicy(request)).toMatchObject({
    instances: [{ name: 'web1', would: 'export', problem: { code: 'STORE_DENIED', message: expect.stringContaining('second') } }],
    problems: [],
  });
});
