import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { appendFile, mkdir } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { chunksOf, getBytes, put } from '../../test/sample-export.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { openExport } from '../exports/open-export.ts';
import { removeExport } from '../exports/remove-export.ts';
import { assertOpened, withUnsealer } from '../exports/unsealing.ts';
import { countReads } from '../flow/counted-reads.ts';
import { verifyExport } from './verify.ts';
import { verifyStore } from './verify-store.ts';

const identities = Identities.parse(await generateX25519Identity());
const recipients = Recipients.of(await identities.recipients());

const open = (store: Store, by = identities): Store => withUnsealer(store, identityUnsealer(by));

describe('verifying a sealed export', () => {
  const store = new MemoryStore(new Memory());
  let bench: OperationBench;
  let reference = '';
  let prefix = '';

  beforeAll(async () => {
    bench = await makeOperationBench({ disks: 2, store });
    // More than one frame, whose edges are within blocks of 64 KiB.
    await appendFile(bench.instance.disks[0]?.path ?? '', Buffer.alloc(5 * 1024 ** 2, 'some data'));
    const native = [{ name: 'domain.xml', secret: false, bytes: Buffer.from('<domain/>') }];
    const made = await bench.exportDisks({ recipients, native });
    reference = made.reference;
    prefix = `${made.instance}/${made.exportId}/`;
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test('without an identity, is at the depth stored; frames are refused', async () => {
    expect(await verifyExport({ store, export: reference })).toMatchObject({ depth: 'stored', sealed: 'closed', plainBytes: 0 });
    await expect(verifyExport({ store, export: reference, depth: 'frames' })).rejects.toMatchObject({ code: 'IDENTITY_NEEDED' });
    expect(await verifyExport({ store: open(store), export: reference })).toMatchObject({ depth: 'frames', sealed: 'opened' });
  });

  test('of others, needs no identity up to the depth stored', async () => {
    const other = open(store, Identities.parse(await generateX25519Identity()));
    expect(await verifyExport({ store: other, export: reference, depth: 'stored' })).toMatchObject({ depth: 'stored' });
    expect(await verifyStore({ ...stateOf(bench), store: other })).toMatchObject({ damaged: 0, unreadable: 0, depth: 'stored' });
  });

  test('of others, with identities, is at the depth stored, which is said; frames are refused where they are asked for', async () => {
    const other = open(store, Identities.parse(await generateX25519Identity()));
    expect(await verifyExport({ store: other, export: reference })).toMatchObject({
      depth: 'stored',
      sealed: 'closed',
      warnings: [expect.stringMatching(/none of the identities opens it/)],
    });
    await expect(verifyExport({ store: other, export: reference, depth: 'frames' })).rejects.toMatchObject({ code: 'IDENTITY_MISMATCH' });
    const found = await openExport(other, reference);
    expect(found).toMatchObject({ os: '', mismatch: { code: 'IDENTITY_MISMATCH' } });
    expect(() => assertOpened(other, found)).toThrow(found.mismatch);
  });

  test('of others, in a store at the depth frames, is at the depth stored, and leaves the first turn to those that were not verified', async () => {
    const others = open(store, Identities.parse(await generateX25519Identity()));
    const state = { stateDirectory: bench.directory.file('state-of-others') };
    const before = await verifyStore({ ...state, store: others, depth: 'frames', budget: { bytes: 1 } });
    expect(before).toMatchObject({
      exports: [{ reference, result: 'sound', sealed: 'closed' }],
      unreadable: 0,
      closed: 1,
      noneOpened: true,
      warnings: [expect.stringMatching(/^1 sealed export is verified by the SHA-256.*none of the identities/)],
    });
    const plain = await bench.exportDisks();
    const second = await verifyStore({ ...state, store: others, depth: 'frames', budget: { bytes: 1 } });
    expect(second).toMatchObject({ exports: [{ reference: plain.reference, result: 'sound' }], left: 1 });
    expect(second.exports[0]).not.toHaveProperty('sealed');
    await mkdir(bench.directory.file('scratch'), { recursive: true });
    const rehearsed = await verifyStore({ ...state, store: others, rehearseIn: bench.directory.file('scratch') });
    expect(rehearsed).toMatchObject({
      unreadable: 0,
      closed: 1,
      noneOpened: true,
      warnings: [expect.stringMatching(/^1 sealed export is not rehearsed: none of/)],
    });
    await removeExport(store, plain.reference);
  });

  test('of a store at depth frames, is at the depth stored for those that cannot be opened, and says so', async () => {
    const closed = await verifyStore({ ...stateOf(bench), store, depth: 'frames' });
    expect(closed).toMatchObject({
      exports: [{ reference, result: 'sound', sealed: 'closed' }],
      closed: 1,
      noneOpened: false,
      warnings: [expect.stringMatching(/^1 sealed export is verified by the SHA-256/)],
    });
    expect(await verifyStore({ ...stateOf(bench), store: open(store), depth: 'frames' })).toMatchObject({
      damaged: 0,
      closed: 0,
      noneOpened: false,
      warnings: [],
    });
    await mkdir(bench.directory.file('scratch'), { recursive: true });
    const rehearsing = { ...stateOf(bench), rehearseIn: bench.directory.file('scratch') };
    expect(await verifyStore({ ...rehearsing, store })).toMatchObject({
      exports: [],
      warnings: [expect.stringMatching(/is not rehearsed/)],
    });
    expect(await verifyStore({ ...rehearsing, store: open(store) })).toMatchObject({ exports: [{ reference, result: 'sound' }] });
  });

  test('by two hosts with an identity each, of a share of the store: each checks the frames of what it can open', async () => {
    await using bench = await makeOperationBench({});
    const hosts = [];
    for (const identity of [await generateX25519Identity(), await generateX25519Identity()]) {
      const by = Identities.parse(identity);
      const made = await bench.exportDisks({ recipients: Recipients.of(await by.recipients()) });
      hosts.push({ store: open(bench.store, by), reference: made.reference });
    }
    const readByFrames = new Set<string>();
    for (const _night of ['one', 'two', 'three'])
      for (const { store } of hosts) {
        const found = await verifyStore({ ...stateOf(bench), store, depth: 'frames', budget: { bytes: 1 } });
        // Neither has the wrong identity, even if its own export is left for later.
        expect(found).toMatchObject({ damaged: 0, unreadable: 0, noneOpened: false, left: 1 });
        for (const each of found.exports) if (each.sealed !== 'closed') readByFrames.add(each.reference);
      }
    expect([...readByFrames].toSorted()).toEqual(hosts.map(({ reference }) => reference).toSorted());
  });

  test('reads each pack once, but for blocks on the edges of ranges, and its header', async () => {
    const counted = countReads(open(store));
    await verifyExport({ store: counted.store, export: reference });
    let stored = 0;
    for await (const { size } of store.list(prefix)) stored += size;
    expect(counted.bytes()).toBeLessThan(stored + 2 * 2 * 65_552 + 8 * 8192);
  });

  test.each([
    ['disk0.zst.age', 'DUMP_DAMAGED'],
    ['disk1.zst.age', 'DUMP_DAMAGED'],
    ['disk1.map.age', 'MAP_DAMAGED'],
    ['sealed.json.age', 'MANIFEST_DAMAGED'],
    ['native-domain.xml.age', 'NATIVE_DAMAGED'],
  ])('finds a flipped bit anywhere in %s', async (name, code) => {
    const key = `${prefix}${name}`;
    const bytes = await getBytes(store, key);
    const places = [0, 30, 200, bytes.length >> 1, bytes.length - 17, bytes.length - 1].filter((at) => at < bytes.length);
    try {
      for (const at of places) {
        await put(
          store,
          key,
          bytes.map((byte, index) => (index === at ? byte ^ 1 : byte)),
        );
        await expect(verifyExport({ store: open(store), export: reference }), `byte ${at}`).rejects.toMatchObject({ code });
        await expect(verifyExport({ store, export: reference }), `byte ${at}`).rejects.toMatchObject({ code });
      }
    } finally {
      await put(store, key, bytes);
    }
    await verifyExport({ store: open(store), export: reference });
  });

  test('finds a pack that somebody has encrypted anew, with the same frames in it', async () => {
    const key = `${prefix}disk0.zst.age`;
    const bytes = await getBytes(store, key);
    const source = { size: bytes.length, read: (at: number, length: number) => chunksOf(bytes.subarray(at, at + length)) };
    const file = await identities.open(source);
    // The recipients of the export are those of the user, and its own key.
    const own = await Identities.parse(await generateX25519Identity()).recipients();
    const anew = await Recipients.of([...recipients.texts, ...own]).startFile();
    try {
      const forged = Buffer.concat(await Array.fromAsync(anew.encrypt(file.read())));
      expect(forged.length).toBe(bytes.length);
      await put(store, key, forged);
      await expect(verifyExport({ store: open(store), export: reference })).rejects.toMatchObject({
        code: 'DUMP_DAMAGED',
        message: expect.stringContaining('SHA-256 mismatch'),
      });
    } finally {
      await put(store, key, bytes);
    }
  });
});

function stateOf({ directory }: OperationBench): { readonly stateDirectory: string } {
  return { stateDirectory: directory.file('state') };
}
