import { makeTemporaryDirectory } from '@gantry/testkit';
import { afterAll, expect, test } from 'vitest';
import { MiB, digestOf, pieces } from '../test/helpers.ts';
import { localSftp } from '../test/local-sftp.ts';
import { parseAddress } from './address.ts';
import { SshStore } from './ssh-store.ts';

const scope = new AsyncDisposableStack();
afterAll(() => scope.disposeAsync());
const directory = scope.use(await makeTemporaryDirectory('gantry-ssh-copy-'));

/** Copies an object of 20 MiB on a server with these options. @returns the bytes that passed through here */
async function copyOn(name: string, serverOptions: readonly string[]): Promise<number | undefined> {
  const engine = localSftp(serverOptions);
  await using store = new SshStore(engine, parseAddress(new URL(`ssh://peer${directory.file(name)}`)), () => undefined);
  {
    await using pending = await store.begin('pack');
    await pending.append(pieces(20));
    await pending.commit(await digestOf(20));
  }
  await using pending = await store.begin('new', { digestBy: 'reader' });
  const passed = await pending.appendRange?.({ key: 'pack', offset: 0, length: 20 * MiB });
  await pending.commit({ size: 20 * MiB });
  await using copy = await store.read('new');
  const bytes = await Array.fromAsync(copy, (chunk) => Buffer.from(chunk));
  expect(Buffer.concat(bytes).equals(Buffer.concat(await Array.fromAsync(pieces(20))))).toBe(true);
  return passed;
}

test('a server with copy-data copies a range by itself', async () => {
  expect(await copyOn('offered', [])).toBe(0);
});

test('through a server that denies copy-data, the bytes pass', async () => {
  expect(await copyOn('denied', ['-P', 'copy-data'])).toBe(20 * MiB);
});
