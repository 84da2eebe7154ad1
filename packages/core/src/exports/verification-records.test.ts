import { once } from 'node:events';
import process from 'node:process';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { alterStore, StoreError } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { VerificationRecords } from './verification-records.ts';

test.each([true, false])(
  'a listing that fails at once is what reading rejects with, and no rejection is left alone',
  async (instancesAtOnce) => {
    await using directory = await makeTemporaryDirectory();
    const store = alterStore(new MemoryStore(), {
      // eslint-disable-next-line require-yield
      list: async function* list() {
        throw new StoreError('unavailable', { message: 'the connection was cut' });
      },
    });
    const stopped = new AbortController();
    const alone = once(process, 'unhandledRejection', { signal: stopped.signal }).catch(() => 'none');
    const records = new VerificationRecords(store, directory.path, { instancesAtOnce });
    await expect(records.of('web1')).rejects.toMatchObject({ code: 'unavailable' });
    stopped.abort();
    expect(await alone).toBe('none');
  },
);
