import { randomBytes } from 'node:crypto';
import { readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { generateX25519Identity, Identities, Recipients } from '@gantry/age';
import type { Store } from '@gantry/transport';
import { alterStore, StoreError } from '@gantry/transport';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { describe, expect, test } from 'vitest';
import { cutWhenStored } from '../../test/cut-when-stored.ts';
import type { OperationBench } from '../../test/operation-bench.ts';
import { makeOperationBench } from '../../test/operation-bench.ts';
import { get, getBytes, keysOf, put } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { identityUnsealer } from '../exports/identity-unsealer.ts';
import { SEALED_SUFFIX } from '../exports/layout.ts';
import { openExport } from '../exports/open-export.ts';
import { removeExport } from '../exports/remove-export.ts';
import { withUnsealer } from '../exports/unsealing.ts';
import { FRAME_SIZE } from '../frames/types.ts';
import { memoryTransfers } from '../instances/testing/memory-transfers.ts';
import { exportFromSource } from './export-from-source.ts';
import type { ExportRequest, ExportResult } from './export.ts';
import { verifyExport } from './verify.ts';

/*
 * Lineages of sealed exports on a host that cannot read them: only `restored` has the identity.
 */

const FRAMES = 4;

async function someone(): Promise<{ readonly identities: Identities; readonly recipient: string }> {
  const identities = Identities.parse(await generateX25519Identity());
  const [recipient = expect.fail()] = await identities.recipients();
  return { identities, recipient };
}

const [ann, bob] = [await someone(), await someone()];
const recipients = Recipients.of([ann.recipient, bob.recipient]);

interface LineageBench extends OperationBench {
  readonly memory: Memory;
  readonly path: string;
  readonly stages: string[];
  /** Where frame maps are kept. */
  readonly kept: string;
  /** An incremental export of the disk as it is, which bob can restore. */
  readonly next: (request?: Partial<ExportRequest>) => Promise<ExportResult>;
  readonly attempt: (request?: Partial<ExportRequest>) => Promise<ExportResult>;
  /** Writes other bytes into some frames of the disk. */
  readonly change: (frames: readonly number[], bytes?: number) => Promise<void>;
}

const opened = (store: Store): Store => withUnsealer(store, identityUnsealer(bob.identities));

async function makeBench(): Promise<LineageBench> {
  const memory = new Memory();
  const bench = await makeOperationBench({ store: new MemoryStore(memory) });
  const path = bench.instance.disks[0]?.path ?? expect.fail();
  await writeFile(path, randomBytes(FRAMES * FRAME_SIZE));
  const stages: string[] = [];
  const attempt = (request?: Partial<ExportRequest>): Promise<ExportResult> =>
    bench.exportDisks({
      recipients,
      incremental: true,
      onEvent: (event) => event.type === 'stage' && stages.push(event.message),
      ...request,
    });
  return {
    ...bench,
    memory,
    path,
    stages,
    kept: bench.directory.file(`state/sealed/${bench.instance.name}`),
    attempt,
    async next(request) {
      stages.length = 0;
      const result = await attempt(request);
      const before = await readFile(path);
      await writeFile(path, Buffer.alloc(before.length));
      await bench.importDisks(result.reference, { store: opened(bench.store), yes: true });
      expect((await readFile(path)).equals(before)).toBe(true);
      return result;
    },
    async change(frames, bytes = FRAME_SIZE) {
      const disk = await readFile(path);
      for (const frame of frames) randomBytes(bytes).copy(disk, frame * FRAME_SIZE);
      await writeFile(path, disk);
    },
    [Symbol.asyncDispose]: () => bench[Symbol.asyncDispose](),
  };
}

const known = ({ incremental }: ExportResult): number => incremental?.known.frames ?? expect.fail();

describe('a sealed lineage on a host that cannot read it', () => {
  test('stores only what changed, by the frame maps that it has kept, and keeps only those that the next export needs', async () => {
    await using bench = await makeBench();
    const first = await bench.next();
    expect(known(first)).toBe(0);
    expect((await stat(bench.kept)).mode & 0o777).toBe(0o700);
    let parent = first;
    for (let round = 0; round < 4; round += 1) {
      await bench.change([round % FRAMES]);
      const result = await bench.next();
      expect(result.incremental).toMatchObject({ parents: [parent.reference], known: { frames: FRAMES - 1 }, new: { frames: 1 } });
      expect(result.warnings).toEqual([]);
      const names = await readdir(bench.kept);
      expect(names).toHaveLength(2);
      for (const name of names) expect((await stat(`${bench.kept}/${name}`)).mode & 0o777).toBe(0o600);
      parent = result;
    }
    await verifyExport({ store: opened(bench.store), export: parent.reference, depth: 'frames' });
  });

  test('goes on with the export before, if the newest was removed', async () => {
    await using bench = await makeBench();
    const first = await bench.next();
    await bench.change([0]);
    const second = await bench.next();
    await removeExport(bench.store, second.reference);
    const third = await bench.next();
    expect(third.incremental?.parents).toEqual([first.reference]);
    expect(known(third)).toBeGreaterThanOrEqual(FRAMES - 1);
  });

  test.each([
    ['lost', async (path: string) => await rm(path)],
    [
      'damaged',
      async (path: string) => {
        const text = await readFile(path, 'latin1');
        await writeFile(path, text.replace(/(frame \d+ [0-9a-f]{64} \d+ )0/, '$12'), 'latin1');
      },
    ],
  ])('is a full export where the kept frame map is %s, which is said', async (_what, harm) => {
    await using bench = await makeBench();
    const first = await bench.next();
    for (const name of await readdir(bench.kept)) await harm(`${bench.kept}/${name}`);
    const second = await bench.next();
    expect(second.incremental).toMatchObject({ parents: [], known: { frames: 0 } });
    expect(second.warnings).toEqual([
      `everything of disk 0 is stored again: of ${first.reference}, this host cannot read its frame maps, and has not kept them in its state directory for these recipients`,
    ]);
    expect(known(await bench.next())).toBe(FRAMES);
  });

  test('goes on where the frame map is lost, with an identity', async () => {
    await using bench = await makeBench();
    await bench.next();
    await rm(bench.kept, { recursive: true });
    const second = await bench.next({ store: opened(bench.store) });
    expect(known(second)).toBe(FRAMES);
    expect(second.warnings).toEqual([]);
  });

  test('begins anew for other recipients, which is said, and for exports that are not sealed', async () => {
    await using bench = await makeBench();
    const first = await bench.next();
    const alone = Recipients.of([bob.recipient]);
    const second = await bench.next({ recipients: alone });
    expect(known(second)).toBe(0);
    expect(bench.stages).toContain(
      `everything of disk 0 is stored again: of ${first.reference}, it is not encrypted to the same recipients`,
    );
    expect(second.warnings).toEqual([expect.stringContaining('the export has a single recipient')]);
    expect(known(await bench.next({ recipients: alone }))).toBe(FRAMES);
    // Each goes on with its own.
    expect((await bench.next()).incremental?.parents).toEqual([first.reference]);
    expect(known(await bench.next({ recipients: undefined }))).toBe(0);
    expect((await bench.next()).incremental).toMatchObject({ known: { frames: FRAMES } });
  });

  test.each([
    ['by the frame maps that this host has kept', (store: Store) => store],
    ['by an identity', opened],
  ])('begins with an export of another instance as its base, %s', async (how, through) => {
    await using bench = await makeBench();
    const base = await bench.attempt();
    if (how === 'by an identity') await rm(bench.kept, { recursive: true });
    const clone = { ...bench.instance, name: 'clone.example.com' };
    await bench.change([1]);
    const request = { instance: clone, base: base.reference, store: through(bench.store) };
    const first = await bench.next(request);
    expect(first.incremental).toMatchObject({ parents: [base.reference], known: { frames: FRAMES - 1 }, new: { frames: 1 } });
    await bench.change([2]);
    const second = await bench.next(request);
    expect(second.incremental).toMatchObject({ known: { frames: FRAMES - 1 }, new: { frames: 1 } });
    await removeExport(bench.store, base.reference);
    await verifyExport({ store: opened(bench.store), export: second.reference, depth: 'frames' });
  });

  test('makes patches only with an identity, and reads no pack without one', async () => {
    await using bench = await makeBench();
    await bench.next();
    await bench.change([1], 4096);
    const reads: string[] = [];
    const watched = watchedStore(bench.store, { before: (call) => void (call.startsWith('read ') && reads.push(call)) });
    const second = await bench.next({ store: watched });
    expect(second.incremental).toMatchObject({ new: { frames: 1 }, patched: { frames: 0 } });
    expect(second.warnings).toEqual([]);
    expect(reads.filter((call) => call.endsWith(SEALED_SUFFIX))).toEqual([]);
    await bench.change([2], 4096);
    const third = await bench.next({ store: opened(bench.store) });
    expect(third.incremental).toMatchObject({ new: { frames: 0 }, patched: { frames: 1 } });
  });

  test('is made also where the state directory takes no frame maps, which is said', async () => {
    await using bench = await makeBench();
    await bench.attempt();
    await rm(bench.kept, { recursive: true });
    await writeFile(bench.kept, '');
    const second = await bench.next();
    expect(known(second)).toBe(0);
    expect(second.warnings).toContainEqual(expect.stringMatching(/^cannot keep frame maps in the state directory .*ENOTDIR/));
  });
});

/** What somebody does who can write to the store: an export names other recipients than it is encrypted to. */
async function forgeRecipients(store: Store, file: 'manifest.json' | 'cut-off.json', texts: readonly string[]): Promise<void> {
  const key = (await keysOf(store)).find((each) => each.endsWith(`/${file}`)) ?? expect.fail();
  const named = /"recipients": \[[^\]]*\]/;
  const text = await get(store, key);
  expect(text).toMatch(named);
  await put(store, key, text.replace(named, `"recipients": ${JSON.stringify(texts)}`));
}

describe('a sealed export whose recipients were changed in the store', () => {
  const annAlone = Recipients.of([ann.recipient]);
  const bobAlone = Recipients.of([bob.recipient]);

  test.each([
    ['for others', annAlone, bobAlone],
    ['for one of its recipients', recipients, bobAlone],
    ['for more', annAlone, recipients],
  ])('is not the parent of an export %s', async (_whom, before, after) => {
    await using bench = await makeBench();
    const first = await bench.attempt({ recipients: before });
    await forgeRecipients(bench.store, 'manifest.json', after.texts);
    const second = await bench.next({ recipients: after });
    expect(second.incremental).toMatchObject({ parents: [], known: { frames: 0 } });
    expect(second.warnings).toContain(
      `everything of disk 0 is stored again: of ${first.reference}, this host cannot read its frame maps, and has not kept them in its state directory for these recipients`,
    );
    await verifyExport({ store: opened(bench.store), export: second.reference, depth: 'frames' });
  });

  test('is none where the host has an identity, either', async () => {
    await using bench = await makeBench();
    const first = await bench.attempt({ recipients });
    await rm(bench.kept, { recursive: true });
    await forgeRecipients(bench.store, 'manifest.json', bobAlone.texts);
    await expect(openExport(opened(bench.store), first.reference)).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
    const second = await bench.next({ recipients: bobAlone, store: opened(bench.store) });
    expect(second.incremental).toMatchObject({ parents: [], known: { frames: 0 } });
    expect(second.warnings).toContain(
      `everything of disk 0 is stored again: of ${first.reference}, its sealed.json.age is damaged, or does not belong to its manifest.json`,
    );
  });

  test.each([
    ['without an identity', (store: Store) => store],
    ['with one', opened],
  ])('is not taken over after it was cut off, %s', async (_what, through) => {
    await using bench = await makeBench();
    await leaveCutOff(bench);
    await forgeRecipients(bench.store, 'cut-off.json', bobAlone.texts);
    expect(known(await bench.next({ recipients: bobAlone, store: through(bench.store) }))).toBe(0);
  });
});

/** Cuts an export off when half of the disk is stored. */
async function leaveCutOff(bench: LineageBench): Promise<void> {
  await expect(bench.attempt(cutWhenStored(bench.store, (FRAMES / 2) * FRAME_SIZE))).rejects.toThrow('cut off');
  const names = (await keysOf(bench.store)).map((key) => key.split('/').at(-1));
  expect(names).toEqual(expect.arrayContaining(['cut-off.json', 'disk0.zst.age']));
}

describe('a sealed export that was cut off', () => {
  test.each([
    ['other recipients', Recipients.of([bob.recipient])],
    ['none', undefined],
  ])('is not taken over by one for %s', async (_whom, others) => {
    await using bench = await makeBench();
    await leaveCutOff(bench);
    expect(known(await bench.next({ recipients: others, store: opened(bench.store) }))).toBe(0);
  });

  test('is taken over', async () => {
    await using bench = await makeBench();
    await leaveCutOff(bench);
    const result = await bench.next();
    expect(known(result)).toBeGreaterThan(0);
    expect(known(await bench.next())).toBe(FRAMES);
  });
});

describe('a sealed export that was killed', () => {
  test.each([
    ['is taken over by the next one', recipients, FRAMES],
    ['is not taken over by one for other recipients', Recipients.of([bob.recipient]), 0],
  ])('%s', async (_what, next, frames) => {
    await using bench = await makeBench();
    let isKilled = false;
    const dying = watchedStore(bench.store, {
      before: () => {
        if (isKilled) throw new StoreError('unavailable', { message: 'killed' });
      },
      after: (call) => void (isKilled ||= call.startsWith('commit ') && call.endsWith('/disk0.map.age')),
    });
    await expect(bench.attempt({ store: dying })).rejects.toThrow('killed');
    const key = (await keysOf(bench.store)).find((each) => each.endsWith('/export.claim')) ?? expect.fail();
    // Of a process that has ended.
    await put(bench.store, key, (await get(bench.store, key)).replace(/"startTime": \d+/, '"startTime": 1'));
    expect(known(await bench.next({ recipients: next }))).toBe(frames);
  });
});

describe('a sealed export into several stores', () => {
  const named = (name: string): Store => ({ ...alterStore(new MemoryStore(new Memory()), {}), address: name });

  async function contentsOf(store: Store): Promise<ReadonlyMap<string, string>> {
    const keys = (await keysOf(store)).filter((key) => !key.startsWith('gantry-'));
    return new Map(await Promise.all(keys.map(async (key) => [key, (await getBytes(store, key)).toString('base64')] as const)));
  }

  const NATIVE = [{ name: 'a.json', secret: true, bytes: Buffer.from('{"password": "x"}') }];

  test('is encrypted once: it is the same in all, also incremental', async () => {
    await using bench = await makeBench();
    const [a, b] = [named('a'), named('b')];
    for (const wanted of [0, FRAMES - 1]) {
      const result = await bench.attempt({ store: a, alsoInto: [b], native: NATIVE });
      expect(result.stores?.map(({ outcome }) => outcome)).toEqual(['exported', 'exported']);
      expect(known(result)).toBe(wanted);
      expect(await contentsOf(a)).toEqual(await contentsOf(b));
      for (const store of [a, b]) await verifyExport({ store: opened(store), export: result.reference, depth: 'frames' });
      await bench.change([0]);
    }
  });

  test('is the same in those that are left, if it begins anew', async () => {
    await using bench = await makeBench();
    const [a, b, c] = [named('a'), named('b'), named('c')];
    const failing = watchedStore(a, {
      before: (call) => {
        if (call.startsWith('begin ') && call.endsWith('export.claim')) throw new StoreError('unavailable', { message: 'it is down' });
      },
    });
    const result = await bench.attempt({ store: failing, alsoInto: [b, c], native: NATIVE });
    expect(result.stores?.map(({ outcome }) => outcome)).toEqual(['failed', 'exported', 'exported']);
    expect(await contentsOf(b)).toEqual(await contentsOf(c));
    await verifyExport({ store: opened(c), export: result.reference, depth: 'frames' });
  });

  test('of an instance whose source sends its disks, too', async () => {
    await using bench = await makeBench();
    const [a, b] = [named('a'), named('b')];
    const { source } = memoryTransfers({ disks: [Buffer.from('what the source sends')] });
    const request = { instance: bench.instance, stateDirectory: bench.directory.file('state'), createStore: true, source, recipients };
    const result = await exportFromSource({ ...request, store: a, alsoInto: [b] });
    expect(await contentsOf(a)).toEqual(await contentsOf(b));
    await verifyExport({ store: opened(b), export: result.reference, depth: 'frames' });
  });
});

describe('what leaves the host', () => {
  test('does not show whether exports have the same content', async () => {
    await using bench = await makeBench();
    const native = [{ name: 'a.json', secret: false, bytes: Buffer.alloc(100_000, 'the same again and again') }];
    for (let round = 0; round < 2; round += 1) await bench.attempt({ incremental: false, native });
    const seen = new Map<string, string>();
    for (const key of (await keysOf(bench.store)).filter((each) => each.endsWith(SEALED_SUFFIX))) {
      const bytes = await getBytes(bench.store, key);
      // Headers say for whom, which is in the manifest too.
      const start = bytes.indexOf('\n--- ');
      for (let at = start; at + 16 <= bytes.length; at += 1024) {
        const piece = bytes.toString('hex', at + 5, at + 21);
        expect(seen.get(piece), key).toBeUndefined();
        seen.set(piece, key);
      }
    }
    const manifests = (await keysOf(bench.store)).filter((each) => each.endsWith('/manifest.json'));
    const digests = (await Promise.all(manifests.map((key) => get(bench.store, key)))).flatMap((text) => text.match(/[0-9a-f]{64}/g) ?? []);
    expect(digests.length).toBeGreaterThanOrEqual(8);
    // Of each map, its pack is named a second time.
    const perExport = digests.length / 2;
    const [one, other] = [digests.slice(0, perExport), digests.slice(perExport)];
    expect(one.filter((digest) => other.includes(digest))).toEqual([]);
  });

  test('has private parameters and secret native files in sealed exports only, unless it is insisted on', async () => {
    await using bench = await makeBench();
    const instance = { ...bench.instance, osparams_private: { password: 'hunter2' } };
    const native = [{ name: 'secret.json', secret: true, bytes: Buffer.from('hunter3') }];
    const { source } = memoryTransfers({ disks: [Buffer.from('what the source sends')] });
    const common = { instance, native, source, store: bench.store, stateDirectory: bench.directory.file('state'), createStore: true };
    const attempt = (request: Partial<ExportRequest>): Promise<ExportResult> => exportFromSource({ ...common, recipients, ...request });
    const has = async (store: Store, { reference }: ExportResult): Promise<readonly unknown[]> => {
      const found = await openExport(store, reference);
      return [found.manifest?.instance.osparams_private, found.native.map(({ name }) => name)];
    };
    const all = [{ password: 'hunter2' }, ['secret.json']];
    expect(await has(opened(bench.store), await attempt({}))).toEqual(all);
    const stored = await Promise.all((await keysOf(bench.store)).map(async (key) => (await getBytes(bench.store, key)).toString('latin1')));
    expect(stored.join('')).not.toMatch(/hunter[23]/);
    expect(await has(opened(bench.store), await attempt({ includePrivate: false }))).toEqual([{}, []]);
    expect(await has(bench.store, await attempt({ recipients: undefined }))).toEqual([{}, []]);
    expect(await has(bench.store, await attempt({ recipients: undefined, includePrivate: true }))).toEqual(all);
  });
});
