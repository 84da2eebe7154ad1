import { generateHybridIdentity, generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { alterStore, StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { readFile, writeFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf, put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { sealKeys } from '../exports/added-keys.ts';
import { digestBytes, writeBytes } from '../exports/small-object.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { removeExport } from '../exports/remove-export.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { addKeys } from './add-keys.ts';
import { checkKeys } from './check-keys.ts';
import { copyFromStore } from './copy.ts';
import type { ExportResult } from './export.ts';
import { pruneStore } from './prune.ts';
import { verifyExport } from './verify.ts';

interface Person {
  readonly text: string;
  readonly identities: Identities;
  readonly recipients: readonly string[];
}

async function person(make: () => Promise<string> = generateX25519Identity): Promise<Person> {
  const text = await make();
  const identities = Identities.parse(text);
  return { text, identities, recipients: await identities.recipients() };
}

const [owner, second, third, stranger] = [await person(), await person(), await person(), await person()];

const open = (store: Store, { identities }: Person): Store => withUnsealer(store, identityUnsealer(identities));

describe('keys that are added to sealed exports', () => {
  const store = new MemoryStore(new Memory());
  let bench: OperationBench;
  let disk = '';
  let full = '';
  let increment = '';
  const prefixOf = (reference: string): string => `${reference.replace('@', '/')}/`;

  beforeAll(async () => {
    bench = await makeOperationBench({ store });
    disk = bench.instance.disks[0]?.path ?? '';
    const recipients = Recipients.of(owner.recipients);
    await writeFile(disk, Buffer.alloc(4 * 1024 ** 2, 'a frame that stays'));
    full = (await bench.exportDisks({ recipients, incremental: true })).reference;
    // One more frame: the other is in the pack of the first export.
    await writeFile(disk, Buffer.concat([await readFile(disk), Buffer.alloc(4 * 1024 ** 2, 'more')]));
    increment = (await bench.exportDisks({ store: open(store, owner), recipients, incremental: true })).reference;
  });
  afterAll(() => bench[Symbol.asyncDispose]());

  test('let others read the export and the packs that it needs, and nothing else changes', async () => {
    await expect(verifyExport({ store: open(store, second), export: increment, depth: 'frames' })).rejects.toMatchObject({
      code: 'IDENTITY_MISMATCH',
    });
    const before = await digests(store);
    const added = await addKeys({ store: open(store, owner), exports: [increment], recipients: second.recipients });
    expect(added).toMatchObject({ exports: [{ reference: increment, file: 'keys-1.age', keys: 2, keysOf: [increment, full] }] });
    expect(await digests(store)).toMatchObject(before);
    expect(await verifyExport({ store: open(store, second), export: increment })).toMatchObject({ depth: 'frames' });
    await expect(verifyExport({ store: open(store, stranger), export: increment, depth: 'frames' })).rejects.toMatchObject({
      code: 'IDENTITY_MISMATCH',
    });
  });

  test('are shown by a check, which reads headers alone', async () => {
    const by = async (who?: Person) => (await checkKeys({ store: who === undefined ? store : open(store, who) })).exports;
    expect(await by()).toEqual([
      { reference: full, sealed: true, recipients: owner.recipients, addedKeys: 0 },
      { reference: increment, sealed: true, recipients: owner.recipients, addedKeys: 1 },
    ]);
    expect(await by(owner)).toMatchObject([{ readable: true }, { readable: true }]);
    expect(await by(second)).toMatchObject([
      { reference: full, readable: false },
      { reference: increment, readable: true },
    ]);
    expect(await by(stranger)).toMatchObject([{ readable: false }, { readable: false }]);
    const one = await checkKeys({ store: open(store, second), export: increment });
    expect(one.exports.map(({ reference }) => reference)).toEqual([increment]);
    await expect(checkKeys({ store, export: 'web9' })).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
  });

  test('are added again by those who have them; a damaged or forged file of them is passed over', async () => {
    const again = await addKeys({ store: open(store, owner), exports: [increment], recipients: third.recipients });
    expect(again.exports).toMatchObject([{ file: 'keys-2.age' }]);
    const key = `${prefixOf(increment)}keys-1.age`;
    const text = await get(store, key);
    for (const other of ['', text.slice(0, -60), text.replace(/[a-z]{3}/, 'AAA'), 'x'.repeat(5 * 1024 ** 2)]) {
      await put(store, key, other);
      expect(await verifyExport({ store: open(store, third), export: increment })).toMatchObject({ depth: 'frames' });
      await expect(verifyExport({ store: open(store, second), export: increment, depth: 'frames' })).rejects.toMatchObject({
        code: 'IDENTITY_MISMATCH',
      });
    }
    await put(store, key, text);
  });

  test('are found again after a failure of the store, and looked for in vain where what is missing is denied', async () => {
    const failures: ('unavailable' | 'denied')[] = [];
    const failing = alterStore(store, {
      read: async (key, options) => {
        const code = key.includes('/keys-') ? failures.shift() : undefined;
        if (code !== undefined) throw new StoreError(code, { message: 'no', key });
        return await store.read(key, options);
      },
    });
    const unsealing = open(failing, second);
    failures.push('unavailable');
    await expect(verifyExport({ store: unsealing, export: increment })).rejects.toMatchObject({ code: 'STORE_UNAVAILABLE' });
    expect(await verifyExport({ store: unsealing, export: increment })).toMatchObject({ depth: 'frames' });
    failures.push('denied');
    await expect(verifyExport({ store: open(failing, stranger), export: increment, depth: 'frames' })).rejects.toMatchObject({
      code: 'IDENTITY_MISMATCH',
    });
  });

  test('are found behind a gap in their numbers', async () => {
    const key = `${prefixOf(increment)}keys-1.age`;
    const bytes = await getBytes(store, key);
    await store.remove([key]);
    expect(await verifyExport({ store: open(store, third), export: increment })).toMatchObject({ depth: 'frames' });
    // A check names it.
    expect((await checkKeys({ store })).exports).toMatchObject([{ reference: full }, { addedKeys: 1, missingKeys: ['keys-1.age'] }]);
    await writeBytes(store, key, bytes);
    expect((await checkKeys({ store })).exports[1]).not.toHaveProperty('missingKeys');
  });

  test('count just for packs that the export needs, and hide none that another export has', async () => {
    const unsealer = identityUnsealer(third.identities);
    const forged = await sealKeys(
      [{ instance: 'web1.example.com', exportId: increment.split('@')[1] ?? '', key: stranger.text.trim() }],
      Recipients.of(third.recipients),
    );
    const key = `${prefixOf(full)}keys-1.age`;
    await put(store, key, forged);
    const unsealing = withUnsealer(store, unsealer);
    await expect(verifyExport({ store: unsealing, export: full, depth: 'frames' })).rejects.toMatchObject({ code: 'IDENTITY_MISMATCH' });
    expect(await verifyExport({ store: unsealing, export: increment })).toMatchObject({ depth: 'frames' });
    await store.remove([key]);
  });

  test('go with copies, and away with the export', async () => {
    const target = new MemoryStore(new Memory());
    for (const reference of [full, increment]) await copyFromStore({ source: store, export: reference, target, createStore: true });
    expect(await verifyExport({ store: open(target, second), export: increment })).toMatchObject({ depth: 'frames' });
    await removeExport(target, increment);
    expect(await keysOf(target, prefixOf(increment))).toEqual([]);
  });

  test('that are damaged, too large or gone do not hold up a copy', async () => {
    const failing = alterStore(store, {
      read: async (key, options) => {
        if (key.endsWith('/keys-9.age')) throw new StoreError('not-found', { message: 'gone', key });
        return await store.read(key, options);
      },
    });
    const bad = {
      'keys-7.age': Buffer.from([0xff, 0xfe, 0x80]),
      'keys-8.age': Buffer.alloc(5 * 1024 ** 2, 'x'),
      'keys-9.age': Buffer.of(1),
    };
    for (const [name, bytes] of Object.entries(bad)) await writeBytes(store, `${prefixOf(full)}${name}`, bytes);
    const target = new MemoryStore(new Memory());
    const { warnings } = await copyFromStore({ source: failing, export: full, target, createStore: true });
    expect(warnings).toEqual(['keys-7.age', 'keys-8.age', 'keys-9.age'].map((name) => expect.stringContaining(name)));
    expect((await keysOf(target, prefixOf(full))).filter((key) => key.includes('/keys-'))).toEqual([]);
    await store.remove(Object.keys(bad).map((name) => `${prefixOf(full)}${name}`));
  });

  test('are limited in their sum when they come later, so that nobody can fill a copy', async () => {
    const target = new MemoryStore(new Memory());
    const request = { source: store, export: full, target, createStore: true };
    await copyFromStore(request);
    const added = Array.from({ length: 17 }, (_, index) => `${prefixOf(full)}keys-${index + 1}.age`);
    const there = async (): Promise<readonly string[]> => (await keysOf(target, prefixOf(full))).filter((key) => key.includes('/keys-'));
    for (const night of ['one', 'two']) {
      for (const [index, key] of added.entries()) await put(store, key, `${night} ${index} `.padEnd(3.9 * 1024 ** 2, 'x'));
      const { warnings } = await copyFromStore(request);
      expect(await there()).toHaveLength(16);
      expect(warnings).toHaveLength(night === 'one' ? 1 : 17);
      for (const warning of warnings) expect(warning).toMatch(/at most 64 MiB of keys/);
    }
    await store.remove(added);
  });

  test('take the next number where two hosts add some at once, and the store cannot refuse a name that is taken', async () => {
    const other = await sealKeys([{ instance: 'web1.example.com', exportId: '1', key: 'x' }], Recipients.of(third.recipients));
    const target = new MemoryStore(new Memory());
    await copyFromStore({ source: store, export: full, target, createStore: true });
    const first = `${prefixOf(full)}keys-1.age`;
    let isLate = true;
    const racing = watchedStore(target, {
      capabilities: { createOnly: false },
      // The other host, right after this one.
      after: async (call) => {
        if (!isLate || call !== `commit ${first}`) return;
        isLate = false;
        await put(target, first, other);
      },
    });
    const { exports } = await addKeys({ store: open(racing, owner), exports: [full], recipients: second.recipients });
    expect(exports).toMatchObject([{ file: 'keys-2.age' }]);
    expect(await get(target, first)).toBe(other);
    expect(await verifyExport({ store: open(target, second), export: full })).toMatchObject({ depth: 'frames' });
  });

  test('are added to recipients of files, too', async () => {
    const file = bench.directory.file('recipients');
    await writeFile(file, `# the vault\n${third.recipients.join('\n')}\n`);
    const target = new MemoryStore(new Memory());
    await copyFromStore({ source: store, export: full, target, createStore: true });
    const request = { store: open(target, owner), exports: [full] };
    expect(await addKeys({ ...request, recipientsFiles: [file] })).toMatchObject({ recipients: third.recipients });
    expect(await verifyExport({ store: open(target, third), export: full })).toMatchObject({ depth: 'frames' });
    await expect(addKeys({ ...request, recipientsFiles: [`${file}-none`] })).rejects.toMatchObject({ code: 'RECIPIENT_INVALID' });
    await expect(addKeys(request)).rejects.toMatchObject({ code: 'RECIPIENT_INVALID' });
  });

  test('work by hand', async () => {
    const files: Record<string, string> = { 'new.txt': second.text };
    for (const [name, text] of Object.entries(files)) await writeFile(bench.directory.file(name), text);
    await writeFile(bench.directory.file('keys-1.age'), await getBytes(store, `${prefixOf(increment)}keys-1.age`));
    await writeFile(bench.directory.file('map.age'), await getBytes(store, `${prefixOf(increment)}disk0.map.age`));
    await writeFile(bench.directory.file('full.age'), await getBytes(store, `${prefixOf(full)}disk0.zst.age`));
    const script =
      'age -d -i new.txt keys-1.age > keys.txt && age -d -i keys.txt map.age && age -d -i keys.txt full.age | zstd -dc | wc -c';
    const { stdout } = await execa('sh', ['-c', script], { cwd: bench.directory.path });
    expect(stdout).toContain(`/${full.split('@')[1]}/`);
    expect(stdout).toMatch(/\n4194304$/);
  });

  test.each([
    ['what is not a recipient', () => ({ recipients: ['age1nothing'] }), 'RECIPIENT_INVALID'],
    ['nobody', () => ({ recipients: [] }), 'RECIPIENT_INVALID'],
    ['by nobody who can read it', () => ({ store: open(store, stranger) }), 'IDENTITY_MISMATCH'],
    ['without an identity', () => ({ store }), 'IDENTITY_NEEDED'],
    ['to what is not there', () => ({ exports: ['web9@20261123T081500Z'] }), 'EXPORT_NOT_FOUND'],
  ])('are refused for %s', async (_what, request, code) => {
    const before = await keysOf(store);
    const right = { store: open(store, owner), exports: [increment], recipients: second.recipients };
    await expect(addKeys({ ...right, ...request() })).rejects.toMatchObject({ code });
    expect(await keysOf(store)).toEqual(before);
  });
});

test('keys are not added to what is not sealed, needs no other kind, or has no key of its own', async () => {
  const safe = await person(generateHybridIdentity);
  await using bench = await makeOperationBench({});
  const plain = await bench.exportDisks();
  const owned = (who: Person, exports: readonly string[]) =>
    addKeys({ store: open(bench.store, who), exports, recipients: second.recipients });
  await expect(owned(owner, [plain.reference])).rejects.toMatchObject({ code: 'USAGE' });
  const hybrid = await bench.exportDisks({ recipients: Recipients.of(safe.recipients) });
  await expect(owned(safe, [hybrid.reference])).rejects.toMatchObject({ code: 'RECIPIENT_INVALID' });
  // The key of a removed export stays with its packs, and goes with the last of them.
  const recipients = Recipients.of(owner.recipients);
  const first = await bench.exportDisks({ recipients, incremental: true });
  const next = await bench.exportDisks({ store: open(bench.store, owner), recipients, incremental: true });
  await removeExport(bench.store, first.reference);
  await expect(owned(owner, [next.reference])).resolves.toMatchObject({ exports: [{ keys: 2 }] });
  const part = `${first.instance}/${first.exportId}/sealed.json.age`;
  const bytes = await getBytes(bench.store, part);
  await bench.store.remove([part]);
  await expect(owned(owner, [next.reference])).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('whose key is not'),
  });
  await writeBytes(bench.store, part, bytes);
  await removeExport(bench.store, next.reference);
  await pruneStore({ store: bench.store, policy: {} });
  await pruneStore({ store: bench.store, policy: {} });
  expect(await keysOf(bench.store, `${first.instance}/${first.exportId}/`)).toEqual([]);
});

describe('whose keys are added is not for those to choose who can only write to the store', () => {
  /** The manifest of one export names a pack of another one, too. */
  async function nameForeignPack(store: Store, victim: string, other: ExportResult): Promise<void> {
    const key = `${victim.replace('@', '/')}/manifest.json`;
    const manifest: { dumps: { map: { packs: unknown[] } }[] } = JSON.parse(await get(store, key));
    const { dumps } = JSON.parse(await get(store, `${other.instance}/${other.exportId}/manifest.json`));
    for (const { map } of manifest.dumps) map.packs.push({ ...dumps[0].map.packs[0] });
    await put(store, key, JSON.stringify(manifest));
  }

  const recipients = Recipients.of(owner.recipients);
  const add = (bench: OperationBench, exports: readonly string[], more: Partial<Parameters<typeof addKeys>[0]> = {}) =>
    addKeys({ store: open(bench.store, owner), exports, recipients: second.recipients, ...more });

  test('a manifest that names packs that the encrypted frame map does not name is refused', async () => {
    await using bench = await makeOperationBench({});
    const payroll = await bench.exportDisks({
      instance: { ...bench.instance, name: 'payroll.example.com' },
      recipients,
      incremental: true,
    });
    const next = await bench.exportDisks({ recipients, incremental: true });
    await nameForeignPack(bench.store, next.reference, payroll);
    const before = await keysOf(bench.store);
    // One of another instance must be named, too.
    await expect(add(bench, [next.reference])).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining(payroll.reference),
    });
    await expect(add(bench, [next.reference, payroll.reference])).rejects.toMatchObject({ code: 'MAP_DAMAGED' });
    expect(await keysOf(bench.store)).toEqual(before);
  });

  test('an export without a signature is refused where one is required', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks({ recipients });
    const allowedSigners = bench.directory.file('allowed');
    await writeFile(allowedSigners, '');
    const before = await keysOf(bench.store);
    await expect(add(bench, [reference], { allowedSigners, requireSignature: true })).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
    expect(await keysOf(bench.store)).toEqual(before);
    await expect(add(bench, [reference], { allowedSigners })).resolves.toMatchObject({ warnings: [expect.stringContaining('not signed')] });
  });
});

async function digests(store: Store): Promise<Readonly<Record<string, string>>> {
  const found: Record<string, string> = {};
  for (const key of await keysOf(store)) found[key] = digestBytes(await getBytes(store, key)).sha256;
  return found;
}
