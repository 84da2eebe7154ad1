import { readFile, writeFile } from 'node:fs/promises';
import { makeTemporaryDirectory } from '@gantry/testkit';
import type { Store } from '@gantry/transport';
import { MemoryStore } from '@gantry/transport/testing';
import { execa } from 'execa';
import { describe, expect, test } from 'vitest';
import { get, getBytes, put, sampleHeader, sampleManifest } from '../../test/sample-export.ts';
import { watchedStore } from '../../test/watched-store.ts';
import type { Codec } from '../frames/codecs/registry.ts';
import { CODEC_NAMES } from '../frames/codecs/registry.ts';
import { encodeDump } from '../frames/encode-dump.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { collect, overwritten, readerOf } from '../frames/testing/streams.ts';
import { verifyExport } from '../operations/verify.ts';
import { openFrameSource } from './frame-source.ts';
import type { DumpRecord } from './manifest.ts';
import type { StoredExport } from './open-export.ts';
import { openExport } from './open-export.ts';
import { readDump } from './read-dump.ts';
import { storeSink } from './store-sink.ts';

const PREFIX = 'web1.example.com/20261123T081500Z/';
const { signal } = new AbortController();
const FRAME = 1000;
const PLAIN = Buffer.concat([Buffer.from('what a disk holds, line by line\n'.repeat(80)), Buffer.alloc(3300), Buffer.from('end')]);

/** An export of two disks with several frames each. */
async function writeFrames(store: Store, codec: Codec): Promise<StoredExport> {
  await using writer = await storeSink(store, { createStore: true }).open(sampleHeader);
  const writeDisk = async (index: number): Promise<DumpRecord> => {
    const name = `disk${index}.${codec}`;
    await using dump = await writer.dump(name);
    const encoded = encodeDump(readerOf(overwritten([PLAIN.subarray(index)])), { codec, frameSize: FRAME, signal });
    return { index, name, ...(await dump.write(encoded)), messages: [], snapshot: 'none' };
  };
  const dumps = await Promise.all([0, 1].map(writeDisk));
  await writer.commit(sampleManifest(writer.id, dumps));
  return await openExport(store, writer.reference);
}

interface Imported {
  readonly plain: Buffer;
  readonly warnings: readonly string[];
}

async function importDisk(found: StoredExport, index: number): Promise<Imported> {
  const warnings: string[] = [];
  const dump = found.dumps.find((candidate) => candidate.index === index);
  if (dump === undefined) throw new Error(`no disk ${index}`);
  const options = { budget: new MemoryBudget(1_000_000), signal, warn: (message: string) => void warnings.push(message) };
  return { plain: await collect(readDump(found, dump, options)), warnings };
}

describe.each(CODEC_NAMES)('%s', (codec) => {
  test('any part of any disk is read alone, and all of it by an import', async () => {
    const found = await writeFrames(new MemoryStore(), codec);
    for (const index of [0, 1]) {
      const plain = PLAIN.subarray(index);
      expect((await importDisk(found, index)).plain.equals(plain)).toBe(true);
      const source = await openFrameSource(found, index);
      expect(source).toMatchObject({ frameSize: FRAME, plainBytes: plain.length });
      const offsets = Array.from({ length: source.frames }, (_, frame) => frame * FRAME);
      const frames = await Promise.all(offsets.map((offset) => source.at(offset)));
      expect((await collect(overwritten(frames.map((frame) => frame.plain)))).equals(plain)).toBe(true);
    }
  });

  test('where the table is damaged or gone, verify says so, and an import does without it if the frames can be checked', async () => {
    const store = new MemoryStore();
    const found = await writeFrames(store, codec);
    const table = await getBytes(store, `${PREFIX}frames.table`);
    const damages: [Buffer | undefined, RegExp][] = [
      [undefined, /it is missing/],
      [table.subarray(0, -8), /bytes instead of/],
      [Buffer.from(table.map((byte, at) => (at === 17 ? byte ^ 1 : byte))), /SHA-256 mismatch/],
      [Buffer.concat([table, Buffer.alloc(8)]), /too large/],
    ];
    for (const [bytes, what] of damages) {
      if (bytes === undefined) await store.remove([`${PREFIX}frames.table`]);
      else await put(store, `${PREFIX}frames.table`, bytes);
      const damaged = await openExport(store, found.reference);
      await expect(verifyExport({ store, export: found.reference })).rejects.toMatchObject({ code: 'MANIFEST_DAMAGED' });
      if (codec === 'none') await expect(importDisk(damaged, 0)).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
      else {
        const { plain, warnings } = await importDisk(damaged, 0);
        expect(plain.equals(PLAIN)).toBe(true);
        expect(warnings).toEqual([expect.stringMatching(what)]);
      }
    }
  });

  test('an export of version 1, without a table, is imported and verified; parts of its compressed dumps are not read', async () => {
    const store = new MemoryStore();
    const found = await writeFrames(store, codec);
    if (found.manifest === undefined) throw new Error('no manifest');
    const { frameTables: _, ...manifest } = found.manifest;
    const table = await getBytes(store, `${PREFIX}frames.table`);
    const frames = Math.ceil(PLAIN.length / FRAME);
    const checksums = (disk: number): string => {
      const bytes = Buffer.alloc(frames * 4);
      for (let frame = 0; frame < frames; frame += 1)
        bytes.writeUInt32BE(table.readUInt32LE(16 + (disk * frames + frame) * 8 + 4), frame * 4);
      return bytes.toString('base64');
    };
    const dumps = manifest.dumps.map((dump) => (codec === 'none' ? Object.assign({ frameCrc32: checksums(dump.index) }, dump) : dump));
    await put(store, `${PREFIX}manifest.json`, JSON.stringify({ ...manifest, version: 1, dumps }));
    await store.remove([`${PREFIX}frames.table`]);
    const sums = await get(store, `${PREFIX}SHA256SUMS`);
    await put(store, `${PREFIX}SHA256SUMS`, sums.replace(/.*frames\.table\n/, ''));
    const first = await openExport(store, found.reference);
    expect(first.manifest?.version).toBe(1);
    for (const index of [0, 1]) expect((await importDisk(first, index)).plain.equals(PLAIN.subarray(index))).toBe(true);
    await verifyExport({ store, export: found.reference });
    if (codec === 'none') expect((await (await openFrameSource(first, 1)).at(0)).plain).toHaveLength(FRAME);
    else await expect(openFrameSource(first, 1)).rejects.toMatchObject({ code: 'FRAMES_UNKNOWN' });
  });

  test('a chunk that is changed on its way into the store is found by verify, and before any of it is imported', async () => {
    const store = new MemoryStore();
    const altering = watchedStore(store, {
      alter: (key, chunk) => (key.includes('/disk0.') ? chunk.map((byte, at) => (at === 20 ? byte ^ 1 : byte)) : chunk),
    });
    const found = await writeFrames(altering, codec);
    await expect(verifyExport({ store, export: found.reference })).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
    await expect(importDisk(found, 0)).rejects.toMatchObject({ code: 'DUMP_DAMAGED' });
    expect((await importDisk(found, 1)).plain.equals(PLAIN.subarray(1))).toBe(true);
  });
});

test('the page on frame tables finds a frame with standard tools', async () => {
  const page = await readFile(new URL('../../../../docs/reference/formats/frame-tables.md', import.meta.url), 'utf8');
  const [, script = ''] = /```sh\n([^`]*)```/.exec(page) ?? [];
  const store = new MemoryStore();
  await writeFrames(store, 'zstd');
  await using directory = await makeTemporaryDirectory();
  await writeFile(directory.file('frames.table'), await getBytes(store, `${PREFIX}frames.table`));
  await writeFile(directory.file('disk0.zst'), await getBytes(store, `${PREFIX}disk0.zstd`));
  for (const frame of [0, 1, 3]) {
    const { stdout } = await execa('bash', ['-euc', script.replace('frame=3', `frame=${frame}`)], {
      cwd: directory.path,
      encoding: 'buffer',
    });
    expect(PLAIN.subarray(frame * FRAME, (frame + 1) * FRAME).equals(stdout)).toBe(true);
  }
});
