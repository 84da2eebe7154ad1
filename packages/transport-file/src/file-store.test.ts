import { storeConformance } from '@gantry/transport/conformance';
import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, describe, test } from 'vitest';
import { FileStore } from './file-store.ts';

const directory = await makeTemporaryDirectory('gantry-file-store-');
afterAll(() => directory[Symbol.asyncDispose]());

describe('a directory is a store', () => {
  for (const { title, run } of storeConformance(async () => new FileStore(directory.file('store')))) {
    test(title, run);
  }
});
