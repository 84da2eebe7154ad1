import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { randomBytes } from 'node:crypto';
import { rmSync, writeFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { afterAll, afterEach, describe, expect, test, vi } from 'vitest';
import type { OperationBench } from '../../test/operation-bench.ts';
import { DISK_BYTES, makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf, put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { parseManifest } from '../exports/manifest.ts';
import { removeExport } from '../exports/remove-export.ts';
import type { Signers } from '../exports/signature.ts';
import { mayBeAllowed } from '../exports/signer-lines.ts';
import { initializeStore } from '../exports/store-marker.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { consolidateExport } from './consolidate.ts';
import { countReads } from '../flow/counted-reads.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { copyFromStore } from './copy.ts';
import { listStore } from './list-store.ts';
import { mirrorStore } from './mirror.ts';
import type { ExportRequest } from './export.ts';
import { planExport } from './plan-export.ts';
import { pruneStore } from './prune.ts';
import { verifyExport } from './verify.ts';
import { verifyStore } from './verify-store.ts';

/* Exports that are signed with an SSH key: who may have made them is known before anything of them is used. */

const keys = await makeTemporaryDirectory();
afterAll(() => keys[Symbol.asyncDispose]());
afterEach(() => void vi.unstubAllEnvs());

async function makeKey(name: string, ...more: readonly string[]): Promise<string> {
  await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', keys.file(name), ...more]);
  return keys.file(name);
}

async function allow(name: string, lines: readonly (readonly [principals: string, key: string])[]): Promise<string> {
  const text = await Promise.all(lines.map(async ([principals, key]) => `${principals} ${await readFile(`${key}.pub`, 'utf8')}`));
  await writeFile(keys.file(name), text.join(''));
  return keys.file(name);
}

const host = await makeKey('host');
const stranger = await makeKey('stranger');
const allowedSigners = await allow('allowed', [['host1.example.com', host]]);

const identity = await generateX25519Identity();
const identities = Identities.parse(identity);
const recipients = Recipients.of(await identities.recipients());

interface Made {
  readonly reference: string;
  readonly prefix: string;
}

async function makeSigned(bench: OperationBench, more: Parameters<OperationBench['exportDisks']>[0] = {}): Promise<Made> {
  const { reference, instance, exportId } = await bench.exportDisks({ signKey: host, ...more });
  return { reference, prefix: `${instance}/${exportId}/` };
}

/** As if it had been made then. */
async function resign({ store }: OperationBench, prefix: string, ended: string): Promise<void> {
  const text = (await get(store, `${prefix}manifest.json`)).replace(/"ended": "[^"]+"/, `"ended": "${ended}"`);
  expect(text).toContain(ended);
  const { stdout } = await execa('ssh-keygen', ['-q', '-Y', 'sign', '-f', host, '-n', 'gantry-export'], { input: text });
  await put(store, `${prefix}manifest.json`, text);
  await put(store, `${prefix}manifest.json.sig`, `${stdout}\n`);
}

/** The references of all complete exports, the oldest first. */
async function listedIn(store: Store): Promise<readonly string[]> {
  const manifests = (await keysOf(store)).filter((key) => key.endsWith('/manifest.json'));
  return manifests.map((key) => key.replace('/manifest.json', '').replace('/', '@')).toSorted();
}

/** Nothing of the export may reach the disk of the instance. */
async function expectImportRefused(bench: OperationBench, reference: string, code: string, store: Store = bench.store): Promise<void> {
  const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
  const before = await readFile(path);
  const empty = Buffer.alloc(before.length);
  await writeFile(path, empty);
  const importing = bench.importDisks(reference, { store, yes: true, allowedSigners, requireSignature: true });
  await expect(importing).rejects.toMatchObject({ code });
  expect((await readFile(path)).equals(empty)).toBe(true);
  await writeFile(path, before);
}

/** Another dump of the same size, without compression. */
async function replaceDump({ store, instance }: OperationBench, prefix: string): Promise<void> {
  const disk = await readFile(instance.disks[0]?.path ?? '');
  const key = (await keysOf(store, prefix)).find((each) => each === `${prefix}disk0.img`) ?? expect.fail();
  expect((await getBytes(store, key)).equals(disk)).toBe(true);
  await put(store, key, Buffer.alloc(disk.length, 7));
}

/** Imports a signed export, with what was said of it and read for it. */
async function importWatched(
  bench: OperationBench,
  reference: string,
): Promise<{ readonly stages: string[]; readonly bytes: number; readonly reads: string[] }> {
  const stages: string[] = [];
  const reads: string[] = [];
  const counted = countReads(watchedStore(bench.store, { before: (call) => void reads.push(call) }));
  const onEvent: ExportRequest['onEvent'] = (event) => void (event.type === 'stage' && stages.push(event.message));
  await bench.importDisks(reference, { store: counted.store, yes: true, allowedSigners, requireSignature: true, onEvent });
  return { stages, bytes: counted.bytes(), reads };
}

describe('a signed export', () => {
  test('has its signature before its manifest makes it visible', async () => {
    await using bench = await makeOperationBench({});
    const calls: string[] = [];
    const store = watchedStore(bench.store, { after: (call) => void calls.push(call) });
    const { prefix } = await makeSigned(bench, { store });
    const commits = calls.filter((call) => call.startsWith('commit '));
    expect(commits).toContain(`commit ${prefix}manifest.json.sig`);
    expect(commits.at(-1)).toBe(`commit ${prefix}manifest.json`);
  });

  test('is read once: by its frame maps, each frame is compared with what was signed', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench, { codec: 'none' });
    const { stages, bytes, reads } = await importWatched(bench, reference);
    // A frame table has no SHA-256 of frames.
    expect(reads).toContain(`read ${prefix}disk0.map`);
    expect(reads).not.toContain(`read ${prefix}frames.table`);
    expect(stages).not.toContain(`checking ${reference} before anything is written`);
    expect(bytes).toBeLessThan(1.5 * DISK_BYTES);
  });

  test('that is complete by itself keeps its signature in copies, also where the target has much of it', async () => {
    await using bench = await makeOperationBench({});
    const target = new MemoryStore();
    for (const createStore of [true, false]) {
      const { reference } = await makeSigned(bench, { incremental: createStore });
      const { warnings } = await copyFromStore({ source: bench.store, export: reference, target, createStore });
      expect(warnings).toEqual([]);
      expect((await verifyExport({ store: target, export: reference, allowedSigners })).signature).toMatchObject({ state: 'signed' });
    }
  });

  test('is imported with the name of its signer, and ssh-keygen agrees by hand', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench);
    const { store } = bench;
    const signature = await verifyExport({ store, export: reference, allowedSigners, requireSignature: true });
    expect(signature.signature).toEqual({ state: 'signed', by: ['host1.example.com'] });
    expect((await verifyExport({ store, export: reference })).signature).toEqual({ state: 'unchecked' });
    await bench.importDisks(reference, { yes: true, allowedSigners, requireSignature: true });

    await writeFile(keys.file('manifest.json.sig'), await get(store, `${prefix}manifest.json.sig`));
    const verify = [
      '-Y',
      'verify',
      '-f',
      allowedSigners,
      '-I',
      'host1.example.com',
      '-n',
      'gantry-export',
      '-s',
      keys.file('manifest.json.sig'),
    ];
    const byHand = await execa('ssh-keygen', verify, { input: await get(store, `${prefix}manifest.json`) });
    expect(byHand.stdout).toMatch(/^Good "gantry-export" signature for host1/);
  });

  test('keeps its signature when it is copied, and leaves none behind when it is removed', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench, { recipients });
    const target = new MemoryStore();
    await initializeStore(target);
    await copyFromStore({ source: bench.store, export: reference, target });
    const { signature } = await verifyExport({ store: target, export: reference, depth: 'stored', allowedSigners });
    expect(signature).toMatchObject({ state: 'signed' });
    await removeExport(target, reference);
    expect(await keysOf(target, prefix)).toEqual([]);
  });

  test('that needs an earlier one is copied without its signature, which is said: the copy has other packs', async () => {
    await using bench = await makeOperationBench({});
    await makeSigned(bench, { incremental: true });
    const { reference } = await makeSigned(bench, { incremental: true });
    const target = new MemoryStore();
    await initializeStore(target);
    const { warnings } = await copyFromStore({ source: bench.store, export: reference, target });
    expect(warnings).toContainEqual(expect.stringMatching(/is not signed/));
    expect((await verifyExport({ store: target, export: reference, allowedSigners })).signature).toEqual({ state: 'unsigned' });
  });

  test('that needs an earlier one keeps its signature where the target takes only signed ones, night after night', async () => {
    await using bench = await makeOperationBench({});
    const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
    const target = new MemoryStore();
    await initializeStore(target);
    const both = { source: bench.store, target, targetSigners: { allowedSigners, requireSignature: true } };
    const references: string[] = [];
    const disks: Buffer[] = [];
    for (const night of [1, 2, 3]) {
      const disk = await readFile(path);
      disk.fill(night, 0, 100);
      await writeFile(path, disk);
      disks.push(disk);
      references.push((await makeSigned(bench, { incremental: true })).reference);
      const planned = await mirrorStore({ ...both, dryRun: true });
      expect(planned.exports).toMatchObject([{ reference: references.at(-1), outcome: 'planned' }]);
      const mirrored = await mirrorStore(both);
      expect(mirrored).toMatchObject({ exports: [{ reference: references.at(-1), outcome: 'copied' }], warnings: [] });
    }
    expect(await mirrorStore(both)).toMatchObject({ exports: [], present: 3 });
    for (const [night, reference] of references.entries()) {
      const verified = await verifyExport({ store: target, export: reference, depth: 'frames', allowedSigners, requireSignature: true });
      expect(verified.signature).toMatchObject({ state: 'signed' });
      await writeFile(path, Buffer.alloc(DISK_BYTES));
      await bench.importDisks(reference, { store: target, yes: true, allowedSigners, requireSignature: true });
      expect((await readFile(path)).equals(disks[night] ?? Buffer.alloc(0))).toBe(true);
    }
    // They go as others do: the packs that the last one needs stay.
    const last = references.at(-1) ?? '';
    await pruneStore({ store: target, policy: { last: 1 } });
    expect(await listedIn(target)).toEqual([last]);
    await verifyExport({ store: target, export: last, depth: 'frames', allowedSigners, requireSignature: true });
    expect(await mirrorStore(both)).toMatchObject({ exports: [], older: 2 });
  });

  test('that needs an earlier one brings the packs of exports that the target does not have, and no copy lacks a signature', async () => {
    await using bench = await makeOperationBench({});
    const unsigned = await bench.exportDisks({ incremental: true });
    const { reference } = await makeSigned(bench, { incremental: true });
    const target = new MemoryStore();
    await initializeStore(target);
    const both = { source: bench.store, target, targetSigners: { allowedSigners, requireSignature: true } };
    const { exports } = await mirrorStore(both);
    expect(exports).toMatchObject([
      { reference: unsigned.reference, outcome: 'failed', code: 'SIGNATURE_MISSING' },
      { reference, outcome: 'copied' },
    ]);
    expect(await listedIn(target)).toEqual([reference]);
    const verified = await verifyExport({ store: target, export: reference, depth: 'frames', allowedSigners, requireSignature: true });
    expect(verified.signature).toMatchObject({ state: 'signed' });
  });

  test('is refused where a copy of one that it needs is stored in another way, and the next full one is copied', async () => {
    await using bench = await makeOperationBench({});
    const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
    const disk = randomBytes(FRAME_SIZE + DISK_BYTES);
    await writeFile(path, disk);
    await makeSigned(bench, { incremental: true });
    randomBytes(DISK_BYTES).copy(disk, FRAME_SIZE);
    await writeFile(path, disk);
    const middle = await makeSigned(bench, { incremental: true });
    const target = new MemoryStore();
    await initializeStore(target);
    // The target takes unsigned ones, and has both frames of this one in a pack of its own.
    await copyFromStore({ source: bench.store, export: middle.reference, target });
    const last = await makeSigned(bench, { incremental: true });
    const both = { source: bench.store, target, targetSigners: { allowedSigners, requireSignature: true } };
    const before = await keysOf(target);
    const copying = copyFromStore({ ...both, export: last.reference });
    await expect(copying).rejects.toMatchObject({
      code: 'SIGNATURE_MISSING',
      message: expect.stringContaining('stored in another way there'),
      hint: expect.stringContaining('gantry consolidate'),
    });
    expect(await keysOf(target)).toEqual(before);
    const full = await makeSigned(bench);
    const { exports } = await mirrorStore(both);
    expect(exports).toMatchObject([
      { reference: last.reference, outcome: 'failed', code: 'SIGNATURE_MISSING' },
      { reference: full.reference, outcome: 'copied' },
    ]);
    const made = await consolidateExport({ store: bench.store, export: last.reference, signKey: host, allowedSigners });
    await copyFromStore({ ...both, export: made.reference });
    const verified = await verifyExport({ store: target, export: made.reference, allowedSigners, requireSignature: true });
    expect(verified.signature).toMatchObject({ state: 'signed' });
  });

  test('is refused as what it is for something else at the place of one that it needs', async () => {
    await using bench = await makeOperationBench({});
    const first = await makeSigned(bench, { incremental: true });
    const last = await makeSigned(bench, { incremental: true });
    const target = new MemoryStore();
    await initializeStore(target);
    const signers = { allowedSigners, requireSignature: true };
    const copying = (): Promise<unknown> => copyFromStore({ source: bench.store, export: last.reference, target, targetSigners: signers });
    const key = `${first.prefix}manifest.json`;
    const text = await get(bench.store, key);
    const sha256 = parseManifest(text, key).dumps[0]?.sha256 ?? expect.fail();
    const inAnotherWay = text.replaceAll(sha256, 'ab'.repeat(32));
    const ofAnotherRun = inAnotherWay.replace(/"ended": "[^"]+"/, '"ended": "2020-01-01T00:00:00.000Z"');
    const expectRefused = async (manifest: string, code: string): Promise<void> => {
      await put(target, key, manifest);
      await expect(copying()).rejects.toMatchObject({ code });
      expect(await keysOf(target)).toEqual([key]);
    };
    await expectRefused('{}', 'EXPORT_EXISTS');
    await expectRefused(ofAnotherRun, 'EXPORT_EXISTS');
    await expectRefused(inAnotherWay, 'SIGNATURE_MISSING');
    // The source has its packs alone: which run it was cannot be known any more.
    await removeExport(bench.store, first.reference);
    await expectRefused(inAnotherWay, 'SIGNATURE_MISSING');
  });

  test('that is forged or changed on the way is not copied where the target takes only signed ones', async () => {
    await using bench = await makeOperationBench({});
    const [path = ''] = bench.instance.disks.map((disk) => disk.path ?? '');
    const first = await makeSigned(bench, { incremental: true, codec: 'none' });
    await writeFile(path, randomBytes(DISK_BYTES));
    const { reference } = await makeSigned(bench, { incremental: true, codec: 'none' });
    const target = new MemoryStore();
    await initializeStore(target);
    const copy = (): Promise<unknown> =>
      copyFromStore({ source: bench.store, export: reference, target, targetSigners: { allowedSigners, requireSignature: true } });
    const prefix = `${reference.replace('@', '/')}/`;
    for (const name of ['disk0.map', 'disk0.pack.img']) {
      const bytes = await getBytes(bench.store, `${prefix}${name}`);
      await put(bench.store, `${prefix}${name}`, Buffer.concat([bytes.subarray(0, -1), Buffer.from([(bytes.at(-1) ?? 0) ^ 1])]));
      await expect(copy()).rejects.toMatchObject({ code: expect.stringMatching(/_DAMAGED$/) });
      await put(bench.store, `${prefix}${name}`, bytes);
    }
    const signature = await get(bench.store, `${first.prefix}manifest.json.sig`);
    await put(bench.store, `${prefix}manifest.json.sig`, signature);
    await expect(copy()).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
    expect(await listedIn(target)).toEqual([]);
  });

  test('is the same in each of several stores', async () => {
    await using bench = await makeOperationBench({});
    const second = new MemoryStore();
    const { reference } = await makeSigned(bench, { alsoInto: [second] });
    for (const store of [bench.store, second]) {
      expect((await verifyExport({ store, export: reference, allowedSigners })).signature).toMatchObject({ state: 'signed' });
    }
  });

  test('is copied to the rest of several stores as each of them takes it', async () => {
    await using bench = await makeOperationBench({});
    await makeSigned(bench, { incremental: true });
    const into = async (signKey: string | undefined, signers: Signers) => {
      // It lacks the parent, so that it gets a copy.
      const rest = new MemoryStore();
      await initializeStore(rest);
      const request = { incremental: true, signKey, alsoInto: [rest], storeSigners: new Map([[rest, signers]]) };
      const { reference, stores, warnings } = await bench.exportDisks(request);
      return { rest, reference, outcome: stores?.[1], warnings };
    };
    const required = await into(host, { allowedSigners, requireSignature: true });
    expect(required.outcome).toMatchObject({ outcome: 'copied' });
    const request = { store: required.rest, export: required.reference, depth: 'frames' as const, allowedSigners, requireSignature: true };
    expect((await verifyExport(request)).signature).toMatchObject({ state: 'signed' });
    const refused = [
      await into(undefined, { allowedSigners, requireSignature: true }),
      await into(stranger, { allowedSigners }),
      await into(host, { allowedSigners: keys.file('gone') }),
    ];
    const reasons = [/is not signed/, /nobody there has signed it/, /cannot read the allowed-signers file/];
    for (const [index, { rest, reference, outcome, warnings }] of refused.entries()) {
      expect(outcome).toMatchObject({ outcome: 'failed', copyReason: expect.stringMatching(reasons[index] ?? '') });
      expect(warnings).toContainEqual(expect.stringContaining(`${reference} was not copied to `));
      expect(await listedIn(rest)).toEqual([]);
    }
    expect((await into(undefined, { allowedSigners })).outcome).toMatchObject({ outcome: 'copied' });
  });

  test('counts by each line that has its key, for the names of those that are for exports', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await makeSigned(bench);
    const several = await allow('several', [
      ['gituser namespaces="git"', host],
      ['# disabled', host],
      ['host2.example.com', stranger],
      ['host1,!host3 namespaces="gantry-export"', host],
      ['*.example.com', host],
    ]);
    const { signature } = await verifyExport({ store: bench.store, export: reference, depth: 'present', allowedSigners: several });
    expect(signature).toEqual({ state: 'signed', by: ['host1', '*.example.com'] });
  });

  test('by a key that an authority has certified counts by the line of the authority', async () => {
    await using bench = await makeOperationBench({});
    const [authority, certified] = [await makeKey('authority'), await makeKey('certified')];
    await execa('ssh-keygen', ['-q', '-s', authority, '-I', 'host7', '-n', 'host7', `${certified}.pub`]);
    const { reference } = await makeSigned(bench, { signKey: `${certified}-cert.pub` });
    const request = { store: bench.store, export: reference, depth: 'present' as const };
    const by = await allow('authorities', [['host* cert-authority', authority]]);
    expect((await verifyExport({ ...request, allowedSigners: by })).signature).toEqual({ state: 'signed', by: ['host7'] });
    // Also below one that is for something else.
    const below = await allow('authority-of-several', [
      ['git7 cert-authority,namespaces="git"', authority],
      ['host7 cert-authority,valid-before="20200101"', authority],
      ['host7 cert-authority,namespaces="gantry-export"', authority],
    ]);
    expect((await verifyExport({ ...request, allowedSigners: below })).signature).toEqual({ state: 'signed', by: ['host7'] });
    const others = await allow('other-authorities', [['host* cert-authority', stranger]]);
    await expect(verifyExport({ ...request, allowedSigners: others })).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
  });

  test('stays good after its key has expired, and is refused if it was made after that', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench);
    const old = await allow('old', [['host1.example.com valid-after="20200101Z",valid-before="20210101Z"', host]]);
    // Node does not know this form.
    vi.stubEnv('TZ', 'CET-1CEST');
    const signedAt = async (ended: string): Promise<unknown> => {
      await resign(bench, prefix, ended);
      return (await verifyExport({ store: bench.store, export: reference, depth: 'present', allowedSigners: old })).signature;
    };
    for (const ended of ['2020-01-01T00:30:00.000Z', '2020-06-01T12:00:00.000Z', '2020-12-31T23:30:00.000Z'])
      expect(await signedAt(ended)).toEqual({ state: 'signed', by: ['host1.example.com'] });
    for (const ended of ['2019-12-31T23:30:00.000Z', '2021-01-01T00:30:00.000Z'])
      await expect(signedAt(ended)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID' });
  });

  test('by a key in the SSH agent needs no private key in a file', async () => {
    await using bench = await makeOperationBench({});
    const held = await makeKey('held');
    const agent = await execa('ssh-agent', ['-s']);
    const [, socket = ''] = /SSH_AUTH_SOCK=([^;]+)/.exec(agent.stdout) ?? [];
    const [, pid = ''] = /SSH_AGENT_PID=(\d+)/.exec(agent.stdout) ?? [];
    const before = process.env['SSH_AUTH_SOCK'];
    try {
      process.env['SSH_AUTH_SOCK'] = socket;
      await execa('ssh-add', ['-q', held]);
      await rm(held);
      for (const signKey of [`${held}.pub`, held]) await bench.exportDisks({ signKey });
    } finally {
      if (before === undefined) delete process.env['SSH_AUTH_SOCK'];
      else process.env['SSH_AUTH_SOCK'] = before;
      process.kill(Number(pid));
    }
  });
});

describe('an export is refused before anything of it is used', () => {
  test('if it is not signed, where that is required', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await bench.exportDisks();
    const { signature } = await verifyExport({ store: bench.store, export: reference, allowedSigners });
    expect(signature).toEqual({ state: 'unsigned' });
    const required = { store: bench.store, export: reference, requireSignature: true };
    await expect(verifyExport({ ...required, allowedSigners })).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
    await expect(verifyExport(required)).rejects.toMatchObject({ code: 'USAGE' });
    await expectImportRefused(bench, reference, 'SIGNATURE_MISSING');
    // Where it is not required, the user gets a warning.
    const { warnings } = await bench.importDisks(reference, { yes: true, allowedSigners });
    expect(warnings).toContainEqual(expect.stringMatching(/is not signed/));
  });

  test('if somebody who has the public key forged it, with a key of their own or the signature of a true one', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench, { recipients });
    const open = withUnsealer(bench.store, identityUnsealer(identities));
    await bench.importDisks(reference, { store: open, yes: true, allowedSigners, requireSignature: true });

    const forged = await makeSigned(bench, { recipients, signKey: stranger });
    await expectImportRefused(bench, forged.reference, 'SIGNATURE_INVALID', open);
    await put(bench.store, `${forged.prefix}manifest.json.sig`, await get(bench.store, `${prefix}manifest.json.sig`));
    await expectImportRefused(bench, forged.reference, 'SIGNATURE_INVALID', open);
    const found = await verifyStore({ store: bench.store, allowedSigners, stateDirectory: keys.file('state') });
    expect(found).toMatchObject({
      damaged: 0,
      refused: 1,
      exports: [{ reference: forged.reference, code: 'SIGNATURE_INVALID' }, { result: 'sound' }],
    });
  });

  test('if the manifest of an older export, with its signature, is in its place', async () => {
    await using bench = await makeOperationBench({});
    const older = await makeSigned(bench);
    const newer = await makeSigned(bench);
    for (const name of ['manifest.json', 'manifest.json.sig'])
      await put(bench.store, `${newer.prefix}${name}`, await get(bench.store, `${older.prefix}${name}`));
    await expectImportRefused(bench, newer.reference, 'MANIFEST_DAMAGED');
  });

  test.each(['manifest.json', 'disk0.zst', 'disk0.map'])('if %s was changed by somebody who can write to the store', async (name) => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench);
    const key = `${prefix}${name}`;
    const bytes = await getBytes(bench.store, key);
    if (name === 'manifest.json') await put(bench.store, key, bytes.toString().replace('"note"', '"node"').replace(/^\{/, '{ '));
    else {
      const at = Math.floor(bytes.length / 2);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await put(bench.store, key, bytes);
    }
    const code = { 'manifest.json': 'SIGNATURE_INVALID', 'disk0.zst': 'DUMP_DAMAGED', 'disk0.map': 'MAP_DAMAGED' }[name] ?? '';
    await expectImportRefused(bench, reference, code);
  });

  test('if another dump stands in its place, whose frames fit, before the first byte of it is written', async () => {
    await using bench = await makeOperationBench({});
    const disk = bench.instance.disks[0]?.path ?? '';
    // More than one frame: the last one of a dump is passed on after the SHA-256 of all.
    const before = randomBytes(5 * 1024 ** 2);
    await writeFile(disk, before);
    const { reference, prefix } = await makeSigned(bench);
    // What does not compress takes as much as any other: the frame table fits, and so do the checksums within the frames.
    await writeFile(disk, randomBytes(before.length));
    const other = await bench.exportDisks();
    await writeFile(disk, before);
    const key = `${prefix}disk0.zst`;
    const forged = await getBytes(bench.store, `${other.instance}/${other.exportId}/disk0.zst`);
    expect(forged.length).toBe((await getBytes(bench.store, key)).length);
    await put(bench.store, key, forged);
    await expectImportRefused(bench, reference, 'DUMP_DAMAGED');
  });

  test('if another dump stands in its place, which has no frame map: it is read twice then', async () => {
    await using bench = await makeOperationBench({});
    const { reference, instance, exportId } = await bench.exportDisks({ codec: 'none' });
    const prefix = `${instance}/${exportId}/`;
    // As earlier versions signed it.
    const manifest = await get(bench.store, `${prefix}manifest.json`);
    const { stdout } = await execa('ssh-keygen', ['-q', '-Y', 'sign', '-f', host, '-n', 'gantry-export'], { input: manifest });
    await put(bench.store, `${prefix}manifest.json.sig`, `${stdout}\n`);
    const { stages } = await importWatched(bench, reference);
    expect(stages).toContain(`checking ${reference} before anything is written`);
    await replaceDump(bench, prefix);
    await expectImportRefused(bench, reference, 'DUMP_DAMAGED');
  });

  test('if its signature is for something else, expired, not one at all, or far too long', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench);
    const key = `${prefix}manifest.json.sig`;
    const expired = await allow('expired', [['host1.example.com valid-before="20200101"', host]]);
    const narrow = await allow('narrow', [
      ['host2.example.com', stranger],
      ['host1.example.com namespaces="file"', host],
    ]);
    const strangers = await allow('strangers', [
      ['# nobody', host],
      ['host2.example.com', stranger],
    ]);
    for (const [other, why] of [
      [expired, 'line 1: key has expired'],
      [narrow, 'line 2: key is not permitted'],
      [strangers, 'is not valid: nobody there has signed it'],
      [await allow('nobody', []), 'is not valid: nobody there has signed it'],
    ] as const) {
      const message = expect.stringMatching(new RegExp(`${why}(?!.*/dev/fd).* \\(allowed signers: ${other}\\)$`, 's'));
      const request = { store: bench.store, export: reference, allowedSigners: other };
      await expect(verifyExport(request)).rejects.toMatchObject({ code: 'SIGNATURE_INVALID', message });
    }
    const missing = { store: bench.store, allowedSigners: keys.file('missing') };
    await expect(verifyExport({ ...missing, export: reference })).rejects.toMatchObject({ code: 'USAGE' });
    await expect(verifyStore({ ...missing, stateDirectory: keys.file('state') })).rejects.toMatchObject({ code: 'USAGE' });
    await writeFile(keys.file('text'), await get(bench.store, `${prefix}manifest.json`));
    await execa('ssh-keygen', ['-q', '-Y', 'sign', '-f', host, '-n', 'file', keys.file('text')]);
    for (const wrong of [await readFile(keys.file('text.sig')), '', 'no signature\n', Buffer.alloc(1_000_000, 'A'), Buffer.from([0xff])]) {
      await put(bench.store, key, wrong);
      await expectImportRefused(bench, reference, 'SIGNATURE_INVALID');
    }
  });
});

describe('a signed export that is consolidated', () => {
  test('is signed anew, after its signature was checked, and is refused where that is not possible', async () => {
    await using bench = await makeOperationBench({});
    await makeSigned(bench, { incremental: true });
    const { reference } = await makeSigned(bench, { incremental: true });
    const { store } = bench;
    const others = await allow('others-consolidate', [['host2.example.com', stranger]]);
    const before = await keysOf(store);
    for (const [given, code] of [
      [{}, 'USAGE'],
      [{ signKey: host }, 'USAGE'],
      [{ allowedSigners }, 'USAGE'],
      [{ signKey: host, allowedSigners: others }, 'SIGNATURE_INVALID'],
      [{ signKey: keys.file('missing'), allowedSigners }, 'SIGNING_FAILED'],
      // Nobody could use what it signs.
      [{ signKey: stranger, allowedSigners }, 'SIGNING_FAILED'],
    ] as const) {
      await expect(consolidateExport({ store, export: reference, ...given })).rejects.toMatchObject({ code });
      expect(await keysOf(store)).toEqual(before);
    }
    const made = await consolidateExport({ store, export: reference, signKey: host, allowedSigners });
    expect(made).toMatchObject({ consolidated: true, removed: true, warnings: [] });
    const { signature } = await verifyExport({ store, export: made.reference, allowedSigners, requireSignature: true });
    expect(signature).toEqual({ state: 'signed', by: ['host1.example.com'] });
  });

  test('is judged by the time at which it was consolidated: the key of today is valid for an export of the day before', async () => {
    await using bench = await makeOperationBench({});
    await makeSigned(bench, { incremental: true });
    const { reference, prefix } = await makeSigned(bench, { incremental: true });
    await resign(bench, prefix, '2020-06-01T12:00:00.000Z');
    const rotated = await allow('rotated', [
      ['host1 valid-before="20210101"', host],
      ['host1 valid-after="20210101"', stranger],
    ]);
    const request = { store: bench.store, allowedSigners: rotated, requireSignature: true };
    // Not by the old key any more.
    await expect(consolidateExport({ ...request, export: reference, signKey: host })).rejects.toMatchObject({
      code: 'SIGNING_FAILED',
      message: expect.stringContaining('line 1: key has expired'),
    });
    const made = await consolidateExport({ ...request, export: reference, signKey: stranger });
    expect(made).toMatchObject({ consolidated: true, removed: true, warnings: [] });
    expect((await verifyExport({ ...request, export: made.reference })).signature).toEqual({ state: 'signed', by: ['host1'] });
  });

  test('stays, if nobody accepts the new signature at the end, and then nothing new is visible', async () => {
    await using bench = await makeOperationBench({});
    await makeSigned(bench, { incremental: true });
    const { reference } = await makeSigned(bench, { incremental: true });
    const { store } = bench;
    const before = await keysOf(store);
    const file = await allow('changing', [['host1.example.com', host]]);
    const text = await readFile(file, 'utf8');
    const onEvent: ExportRequest['onEvent'] = ({ type }) => void (type === 'stage' && writeFileSync(file, ''));
    const changing = consolidateExport({ store, export: reference, signKey: host, allowedSigners: file, onEvent });
    await expect(changing).rejects.toMatchObject({ code: 'SIGNING_FAILED' });
    expect(await keysOf(store)).toEqual(before);
    await writeFile(file, text);
    // A store that has not kept it.
    const lossy = watchedStore(store, {
      after: async (call) => {
        const [, key = ''] = /^commit (.*manifest\.json)$/.exec(call) ?? [];
        if (key !== '') await store.remove([`${key}.sig`]);
      },
    });
    const lost = consolidateExport({ store: lossy, export: reference, signKey: host, allowedSigners: file });
    await expect(lost).rejects.toMatchObject({ code: 'SIGNATURE_MISSING', message: expect.stringContaining(`${reference} stays`) });
    await verifyExport({ store, export: reference, allowedSigners: file, requireSignature: true });
  });

  test('is refused without its signature where signers are given, and gets none that it did not have', async () => {
    await using bench = await makeOperationBench({});
    await bench.exportDisks({ incremental: true });
    const { reference } = await bench.exportDisks({ incremental: true });
    const before = await keysOf(bench.store);
    const request = { store: bench.store, export: reference, signKey: host };
    await expect(consolidateExport({ ...request, allowedSigners })).rejects.toMatchObject({ code: 'SIGNATURE_MISSING' });
    await expect(consolidateExport({ ...request, requireSignature: true })).rejects.toMatchObject({ code: 'USAGE' });
    expect(await keysOf(bench.store)).toEqual(before);
    const made = await consolidateExport(request);
    expect(made.warnings).toEqual([expect.stringMatching(/is not signed, so .* signs nothing/)]);
    expect((await verifyExport({ store: bench.store, export: made.reference, allowedSigners })).signature).toEqual({ state: 'unsigned' });
  });
});

describe('a key that cannot sign', () => {
  test('is found before a disk is read, also by a dry run', async () => {
    await using bench = await makeOperationBench({});
    await execa('ssh-keygen', ['-q', '-t', 'ed25519', '-N', 'secret', '-f', keys.file('locked')]);
    for (const signKey of [keys.file('locked'), keys.file('missing'), allowedSigners, '/dev/full']) {
      const events: string[] = [];
      const onEvent: ExportRequest['onEvent'] = ({ type }) => void events.push(type);
      await expect(bench.exportDisks({ signKey, onEvent })).rejects.toMatchObject({ code: 'SIGNING_FAILED' });
      expect(events).not.toContain('progress');
      const request = { instance: bench.instance, store: bench.store, stateDirectory: bench.directory.file('state'), createStore: true };
      await expect(planExport({ ...request, snapshot: 'none', signKey })).rejects.toMatchObject({ code: 'SIGNING_FAILED' });
    }
    expect((await keysOf(bench.store)).filter((each) => !each.startsWith('gantry-'))).toEqual([]);
  });

  test('any more at the end leaves the packs for the next incremental export, and nothing that is visible', async () => {
    await using bench = await makeOperationBench({});
    const signKey = await makeKey('fleeting');
    const onEvent: ExportRequest['onEvent'] = (event) => {
      if (event.type === 'stage' && event.message.startsWith('exporting')) rmSync(signKey, { force: true });
    };
    await expect(bench.exportDisks({ signKey, onEvent, incremental: true })).rejects.toMatchObject({ code: 'SIGNING_FAILED' });
    expect((await keysOf(bench.store)).filter((each) => /manifest|config|SUMS/.test(each))).toEqual([]);
    const next = await bench.exportDisks({ signKey: host, incremental: true });
    expect(next.storedBytes).toBeLessThan(DISK_BYTES / 4);
    await verifyExport({ store: bench.store, export: next.reference, allowedSigners, requireSignature: true });
  });
});

test('whether a key may be allowed is known without a signature', async () => {
  const certificate = await makeKey('of-authority');
  const authority = await makeKey('its-authority');
  await execa('ssh-keygen', ['-q', '-s', authority, '-I', 'host8', '-n', 'host8', `${certificate}.pub`]);
  const authorities = await allow('its-authorities', [['host* cert-authority', authority]]);
  const disabled = await allow('disabled', [['# host1', host]]);
  const cases = [
    [host, allowedSigners, true],
    [`${host}.pub`, allowedSigners, true],
    [stranger, allowedSigners, false],
    [host, disabled, false],
    [`${certificate}-cert.pub`, authorities, true],
    [certificate, authorities, false],
    [keys.file('gone'), allowedSigners, undefined],
    [host, keys.file('gone'), undefined],
  ] as const;
  for (const [key, file, expected] of cases) expect(await mayBeAllowed(key, file), `${key} in ${file}`).toBe(expected);
});

describe('verifying a store against allowed signers', () => {
  test('refuses what is not signed, and remembers what its bytes say, also of a signed increment on it', async () => {
    await using bench = await makeOperationBench({});
    const full = await bench.exportDisks({ incremental: true });
    const increment = await makeSigned(bench, { incremental: true });
    const request = { store: bench.store, stateDirectory: keys.file('refused-state') };
    const refused = { reference: full.reference, result: 'refused', code: 'SIGNATURE_MISSING' };
    const sound = { reference: increment.reference, result: 'sound', signature: { state: 'signed', by: ['host1.example.com'] } };
    const found = await verifyStore({ ...request, allowedSigners, requireSignature: true });
    expect(found).toMatchObject({ damaged: 0, refused: 1, exports: [refused, sound] });
    const listed = await listStore(request);
    expect(listed.exports.map(({ verified }) => verified?.result)).toEqual(['sound', 'sound']);
    // What is damaged all the same is damage.
    const key = (await keysOf(bench.store, `${full.instance}/${full.exportId}/`)).find((each) => /disk0\.(pack\.)?zst$/.test(each)) ?? '';
    await put(bench.store, key, Buffer.alloc((await getBytes(bench.store, key)).length, 1));
    const damaged = await verifyStore({ ...request, allowedSigners, requireSignature: true });
    expect(damaged).toMatchObject({ refused: 0, exports: [{ result: 'damaged' }, { result: 'damaged' }] });
  });

  test('with a file that allows others, says so without marking the exports as damaged', async () => {
    await using bench = await makeOperationBench({});
    const { reference } = await makeSigned(bench);
    const others = await allow('others', [['host2.example.com', stranger]]);
    const request = { store: bench.store, stateDirectory: keys.file('others-state') };
    await mkdir(keys.file('scratch'));
    for (const more of [{}, { rehearseIn: keys.file('scratch') }]) {
      const found = await verifyStore({ ...request, ...more, allowedSigners: others });
      expect(found).toMatchObject({ refused: 1, exports: [{ reference, code: 'SIGNATURE_INVALID' }] });
    }
    expect(await verifyStore({ ...request, allowedSigners })).toMatchObject({ damaged: 0, refused: 0 });
    await expect(verifyStore({ ...request, depth: 'present', allowedSigners })).rejects.toMatchObject({ code: 'USAGE' });
  });

  test('warns once of those that are not signed, with their number', async () => {
    await using bench = await makeOperationBench({});
    const { reference, prefix } = await makeSigned(bench);
    await bench.store.remove([`${prefix}manifest.json.sig`]);
    await makeSigned(bench);
    const { exports, warnings } = await verifyStore({ store: bench.store, allowedSigners, stateDirectory: keys.file('warn-state') });
    expect(exports).toContainEqual(expect.objectContaining({ reference, result: 'sound', signature: { state: 'unsigned' } }));
    expect(warnings).toEqual([expect.stringMatching(/^1 export is not signed/)]);
  });
});
