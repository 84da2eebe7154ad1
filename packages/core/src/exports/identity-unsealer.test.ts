import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test, vi } from 'vitest';
import { identityUnsealer } from './identity-unsealer.ts';

setFlagsFromString('--expose-gc');
const collectGarbage: unknown = runInNewContext('gc');

test('what opens sealed exports keeps nothing of the operations for which it opened them', async () => {
  const identities = Identities.parse(await generateX25519Identity());
  const sealed = await (await Recipients.of(await identities.recipients()).startFile()).encryptBytes(Buffer.from('text'));
  const unsealer = identityUnsealer(identities);
  const store = new MemoryStore();
  const open = async (): Promise<WeakRef<object>> => {
    const source = {
      size: sealed.length,
      async *read(offset: number, length: number) {
        yield sealed.subarray(offset, offset + length);
      },
    };
    const file = await unsealer.open?.({ store, key: 'web1/20261122T081500Z/disk0.zst.age', source }, {});
    expect(Buffer.concat(await Array.fromAsync(file?.read() ?? [])).toString()).toBe('text');
    return new WeakRef(source);
  };
  const sources = [await open(), await open()];
  await vi.waitFor(() => {
    if (typeof collectGarbage === 'function') collectGarbage();
    // An error of expect would hold the sources themselves.
    expect(sources.map((source) => source.deref() === undefined)).toEqual([true, true]);
  });
});
