import { once } from 'node:events';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { CallOptions } from '@gantry/transport';
import { PATIENTLY } from '@gantry/testkit';
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
    if (typeof collectGarbage !== 'function') throw new TypeError('garbage cannot be collected here');
    collectGarbage();
    // An error of expect would hold the sources themselves.
    expect(sources.map((source) => source.deref() === undefined)).toEqual([true, true]);
  }, PATIENTLY);
});

test('an operation that is aborted fails no other one that waits for the same object', async () => {
  const identities = Identities.parse(await generateX25519Identity());
  const sealed = await (await Recipients.of(await identities.recipients()).startFile()).encryptBytes(Buffer.from('text'));
  const unsealer = identityUnsealer(identities);
  const store = new MemoryStore();
  const aborting = new AbortController();
  const { signal } = aborting;
  const open = async (wait: Promise<unknown>, options: CallOptions): Promise<string> => {
    const source = {
      size: sealed.length,
      async *read(offset: number, length: number) {
        await wait;
        yield sealed.subarray(offset, offset + length);
      },
    };
    const file = await unsealer.open?.({ store, key: 'web1/20261122T081500Z/disk0.zst.age', source }, options);
    return Buffer.concat(await Array.fromAsync(file?.read() ?? [])).toString();
  };
  const aborted = once(signal, 'abort').then(() => signal.throwIfAborted());
  aborted.catch(() => undefined);
  const both = Promise.allSettled([open(aborted, { signal }), open(Promise.resolve(), {})]);
  aborting.abort(new Error('it was stopped'));
  expect(await both).toEqual([
    { status: 'rejected', reason: new Error('it was stopped') },
    { status: 'fulfilled', value: 'text' },
  ]);
});
