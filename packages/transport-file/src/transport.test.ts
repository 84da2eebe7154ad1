import { isStoreError } from '@gantry/transport';
import { expect, test } from 'vitest';
import transport, { FileStore, openFileStore } from './index.ts';

const OPTIONS = { cwd: '/', env: {}, warn: () => undefined };

test('file:///DIRECTORY is the store in that directory', async () => {
  expect(transport.schemes).toEqual(['file']);
  const store = await transport.open(new URL('file:///srv/some%20exports'), OPTIONS);
  expect(store).toBeInstanceOf(FileStore);
  expect(store.address).toBe('file:///srv/some%20exports');
});

test('a path is a store too, relative to the current directory', () => {
  expect(openFileStore('exports').address).toBe(`file://${process.cwd()}/exports`);
});

test.each(['file://host/srv', 'file:///srv?x=1', 'file:///srv#x', 'file:///a%2Fb', 'ssh://host/srv', 'https:///srv'])(
  '%s is refused',
  async (address) => {
    const error: unknown = await transport.open(new URL(address), OPTIONS).catch((error: unknown) => error);
    expect(isStoreError(error, 'invalid-address')).toBe(true);
  },
);
