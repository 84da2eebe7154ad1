import { readFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { expect, test } from 'vitest';
import { writePackage } from './third-party-package.ts';
import type { Outcome } from './workbench.ts';
import { makeWorkbench } from './workbench.ts';

/** A third-party transport: its stores list nothing, and are unavailable as often as the address says. */
const FLAKY = (retries: string): string => `
class StoreError extends Error { constructor(code, message) { super(message); this.name = 'StoreError'; this.code = code; } }
export default {
  schemes: ['flaky'],${retries}
  open: async (url) => {
    let failures = Number(url.searchParams.get('failures'));
    const absent = async () => { throw new StoreError('not-found', 'nothing here'); };
    return {
      address: url.href,
      capabilities: { rangedRead: true, resumableWrite: false, createOnly: true, maxObjectBytes: Infinity },
      stat: absent, read: absent,
      async *list() { if (failures-- > 0) throw new StoreError('unavailable', 'busy'); },
      async *pending() {},
      async clear() {}, async remove() {},
      begin: absent, resume: absent,
      async [Symbol.asyncDispose]() {},
    };
  },
};`;

test('calls of a third-party store are retried and logged, but not retried if its transport does that', async () => {
  await using home = await makeTemporaryDirectory();
  const log = home.file('log');
  const call = async (retries: string, failures: number): Promise<Outcome> => {
    const options = await writePackage(home.path, 'gantry-transport-flaky', FLAKY(retries));
    await using bench = await makeWorkbench({ NODE_OPTIONS: options, GANTRY_STORE_LOG: log });
    return await bench.gantry('list', `flaky://shelf/?failures=${failures}`);
  };
  expect(await call('', 2)).toMatchObject({ exitCode: 0 });
  const lines = (await readFile(log, 'utf8')).trim().split('\n');
  const entries: readonly unknown[] = lines.map((line): unknown => JSON.parse(line));
  expect(entries).toContainEqual(expect.objectContaining({ call: 'list', of: '', outcome: 'ok', ms: expect.any(Number) }));
  expect(await call(' retries: true,', 1)).toMatchObject({ exitCode: 8, stderr: expect.stringContaining('STORE_UNAVAILABLE') });
});

test('a log that cannot be written fails the command before anything is done', async () => {
  await using bench = await makeWorkbench({ GANTRY_STORE_LOG: '/nonexistent/log' });
  expect(await bench.gantry('list', bench.store)).toMatchObject({ exitCode: 2, stderr: expect.stringContaining('GANTRY_STORE_LOG') });
});
