import { randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { execa } from 'execa';
import { expect, test } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf, put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { formatExportReference, makeExportId, parseExportId } from '../exports/export-id.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { LINEAGE_MANIFEST_VERSION } from '../exports/manifest.ts';
import { openExport } from '../exports/open-export.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { sealAnew } from '../flow/seal-anew.ts';
import { startCall } from '../flow/session.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { consolidateExport } from './consolidate.ts';
import { verifyExport } from './verify.ts';

/* Sealed exports that need packs of others: one with an identity reads their frames, and encrypts them anew. */

const own = await generateX25519Identity();
const stranger = await generateX25519Identity();
const identities = Identities.parse(own);
const recipients = Recipients.of(await identities.recipients());
const strangers = Recipients.of(await Identities.parse(stranger).recipients());

function opened(store: Store, identity = own): Store {
  return withUnsealer(store, identityUnsealer(Identities.parse(identity)));
}

interface Sealed extends AsyncDisposable {
  readonly bench: OperationBench;
  readonly days: readonly string[];
  readonly disk: Buffer;
}

/** Two exports of a disk; the second has frames of the first, one of its own, a patch and zeros. */
async function sealedDays(): Promise<Sealed> {
  const bench = await makeOperationBench({});
  const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
  const disk = Buffer.concat([randomBytes(3 * FRAME_SIZE), Buffer.alloc(2 * FRAME_SIZE), randomBytes(FRAME_SIZE / 2)]);
  const instance = { ...bench.instance, hvparams: { vnc_password: 'swordfish' } };
  const day = async (): Promise<string> => {
    await writeFile(path, disk);
    const made = await bench.exportDisks({ instance, recipients, incremental: true, store: opened(bench.store) });
    return made.reference;
  };
  const first = await day();
  randomBytes(FRAME_SIZE).copy(disk, FRAME_SIZE);
  randomBytes(100).copy(disk, 2 * FRAME_SIZE);
  const second = await day();
  return { bench, days: [first, second], disk, [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose]() };
}

/** The id of the next export of the same second: whether the second day began within the second of the first is chance. */
function nextIdOf(id: string): string {
  const { started, ordinal } = parseExportId(id) ?? expect.fail(`${id} has no time`);
  return makeExportId(started, ordinal + 1);
}

async function keysBelow(store: Store, reference: string): Promise<readonly string[]> {
  const prefix = `${reference.replace('@', '/')}/`;
  return (await keysOf(store, prefix)).map((key) => key.slice(prefix.length));
}

test('becomes a sealed full one that its recipients read, also by hand, and the old one goes', async () => {
  await using sealed = await sealedDays();
  const { bench, disk } = sealed;
  const { store } = bench;
  const [first = '', second = ''] = sealed.days;
  const before = await openExport(opened(store), second);
  const id = nextIdOf(before.id);
  const result = await consolidateExport({ store: opened(store), export: second, recipients });
  expect(result).toMatchObject({
    from: second,
    reference: formatExportReference(before.instance, id),
    consolidated: true,
    removed: true,
    plainBytes: disk.length,
    copiedBytes: 0,
    warnings: [],
  });
  const after = await openExport(opened(store), result.reference);
  expect(after.manifest).toMatchObject({ version: 4, instance: before.manifest?.instance, sealed: { recipients: recipients.texts } });
  expect(after.manifest?.dumps[0]?.map?.packs).toMatchObject([{ exportId: id, name: 'disk0.zst.age' }]);
  expect(await keysBelow(store, result.reference)).toEqual([
    'SHA256SUMS',
    'disk0.map.age',
    'disk0.zst.age',
    'manifest.json',
    'sealed.json.age',
  ]);
  // Nothing of the old key, and nothing in the open.
  expect(await get(store, `${result.reference.replace('@', '/')}/manifest.json`)).not.toContain('swordfish');
  await expect(openExport(store, second)).rejects.toMatchObject({ code: 'EXPORT_NOT_FOUND' });
  for (const reference of [first, result.reference]) {
    await verifyExport({ store, export: reference, depth: 'stored' });
    await verifyExport({ store: opened(store), export: reference, depth: 'frames' });
  }
  const [path = ''] = bench.instance.disks.map((each) => each.path ?? '');
  await writeFile(path, Buffer.alloc(disk.length));
  await bench.importDisks(result.reference, { store: opened(store), yes: true });
  expect((await readFile(path)).equals(disk)).toBe(true);
  const { directory } = bench;
  await writeFile(directory.file('key.txt'), `${own}\n`);
  await writeFile(directory.file('disk0.zst.age'), await getBytes(store, `${result.reference.replace('@', '/')}/disk0.zst.age`));
  const { stdout } = await execa('sh', ['-c', 'age -d -i key.txt disk0.zst.age | zstd -dc'], {
    cwd: directory.path,
    encoding: 'buffer',
    maxBuffer: 2 * disk.length,
  });
  expect(Buffer.from(stdout).equals(disk)).toBe(true);
  // Later exports go on with it, and it is not consolidated again.
  await writeFile(path, disk);
  const next = await bench.exportDisks({ recipients, incremental: true, store: opened(store) });
  expect(next.incremental).toMatchObject({ parents: [result.reference], new: { frames: 0 } });
  await expect(consolidateExport({ store, export: result.reference })).resolves.toMatchObject({ consolidated: false });
});

test('is encrypted to whom the caller names, not to whom somebody has written into the manifest', async () => {
  await using sealed = await sealedDays();
  const { store } = sealed.bench;
  const second = sealed.days[1] ?? '';
  const before = await keysOf(store);
  await expect(consolidateExport({ store: opened(store), export: second })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining('nothing that can be trusted says to whom'),
    hint: expect.stringContaining(recipients.texts[0] ?? 'missing'),
  });
  for (const [each, code] of [
    [store, 'IDENTITY_NEEDED'],
    [opened(store, stranger), 'IDENTITY_MISMATCH'],
  ] as const)
    await expect(consolidateExport({ store: each, export: second, recipients })).rejects.toMatchObject({ code });
  expect(await keysOf(store)).toEqual(before);
  const result = await consolidateExport({ store: opened(store), export: second, recipients: strangers });
  expect(result.warnings).toEqual([expect.stringContaining('has other recipients')]);
  await verifyExport({ store: opened(store, stranger), export: result.reference, depth: 'frames' });
  await expect(verifyExport({ store: opened(store), export: result.reference, depth: 'frames' })).rejects.toMatchObject({
    code: 'IDENTITY_MISMATCH',
  });
});

test('is never decrypted into the open for a store that first says that it is in the open', async () => {
  await using sealed = await sealedDays();
  const { store } = sealed.bench;
  const second = sealed.days[1] ?? '';
  const key = `${second.replace('@', '/')}/manifest.json`;
  const text = await get(store, key);
  const { manifest = expect.fail() } = await openExport(opened(store), second);
  const { sealed: _sealed, ...open } = manifest;
  const replaceBy = async (by: string): Promise<void> => {
    await store.remove([key]);
    await put(store, key, by);
  };
  await replaceBy(JSON.stringify({ ...open, version: LINEAGE_MANIFEST_VERSION }).replaceAll('.age"', '"'));
  const before = await keysOf(store);
  let replaced = 0;
  const lying = watchedStore(store, {
    after: async (call) => {
      if (!call.startsWith('commit ') || !call.endsWith('/export.claim')) return;
      replaced += 1;
      await replaceBy(text);
    },
  });
  await expect(consolidateExport({ store: opened(lying), export: second })).rejects.toMatchObject({
    code: 'BUSY',
    message: expect.stringContaining('its manifest has changed'),
  });
  expect(replaced).toBe(1);
  expect(await keysOf(store)).toEqual(before);
});

test('is what the recipients of the settings are read for; one in the open is not, and is refused where encryption was asked for', async () => {
  await using bench = await makeOperationBench({});
  const full = await bench.exportDisks({ incremental: true });
  const { reference } = await bench.exportDisks({ incremental: true });
  const { store } = bench;
  const before = await keysOf(store);
  for (const each of [full.reference, reference])
    await expect(consolidateExport({ store, export: each, recipients })).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringContaining('it is not sealed'),
    });
  expect(await keysOf(store)).toEqual(before);
  const made = await consolidateExport({ store, export: reference, usualRecipients: () => expect.fail('they are not needed') });
  expect(made).toMatchObject({ consolidated: true, warnings: [] });
  await using sealed = await sealedDays();
  const second = sealed.days[1] ?? '';
  const anew = await consolidateExport({
    store: opened(sealed.bench.store),
    export: second,
    usualRecipients: async () => recipients,
  });
  await verifyExport({ store: opened(sealed.bench.store), export: anew.reference, depth: 'frames' });
});

test('with a passphrase has no names that could be given', async () => {
  const old = { reference: 'web1@20261123T081500Z', manifest: { sealed: { recipients: [] } }, isSigned: false };
  await expect(sealAnew({}, old, startCall('consolidate', {}))).rejects.toMatchObject({
    code: 'USAGE',
    hint: expect.stringContaining('It names none: it was sealed with a passphrase.'),
  });
});

test('is encrypted to those whom a signed manifest names', async () => {
  await using sealed = await sealedDays();
  const { bench } = sealed;
  const { store, directory } = bench;
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', directory.file('key')]);
  await writeFile(directory.file('allowed'), `host1 ${await readFile(directory.file('key.pub'), 'utf8')}`);
  const signKey = directory.file('key');
  const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
  await writeFile(path, Buffer.concat([sealed.disk, randomBytes(1000)]));
  const signed = await bench.exportDisks({ recipients, incremental: true, signKey, store: opened(store) });
  const allowed = { allowedSigners: directory.file('allowed') };
  const result = await consolidateExport({ store: opened(store), export: signed.reference, signKey, ...allowed });
  const verified = await verifyExport({ store: opened(store), export: result.reference, ...allowed, requireSignature: true });
  expect(verified).toMatchObject({ depth: 'frames', signature: { state: 'signed', by: ['host1'] } });
});

test('the old one stays if the new dump is not in the store as it was written', async () => {
  await using sealed = await sealedDays();
  const { store } = sealed.bench;
  const second = sealed.days[1] ?? '';
  const before = await keysOf(store);
  const damaging = watchedStore(store, {
    after: async (call) => {
      const [what = '', key = ''] = call.split(' ');
      if (what !== 'commit' || !key.endsWith('disk0.zst.age')) return;
      const bytes = await getBytes(store, key);
      bytes.writeUInt8(bytes.readUInt8(bytes.length - 200) ^ 1, bytes.length - 200);
      await store.remove([key]);
      await put(store, key, bytes);
    },
  });
  const consolidating = consolidateExport({ store: opened(damaging), export: second, recipients });
  await expect(consolidating).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
  expect(await keysOf(store)).toEqual(before);
  await verifyExport({ store: opened(store), export: second, depth: 'frames' });
});
