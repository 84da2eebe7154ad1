import { hash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { MemoryStore } from '@gantry/transport/testing';
import { expect, test } from 'vitest';
import { get, put } from '../../test/sample-export.ts';
import { SAMPLE_FRAME_BYTES as FRAME, SampleLineage } from '../../test/sample-lineage.ts';
import { watchedStore } from '../../test/watched-store.ts';
import { MemoryBudget } from '../frames/memory-budget.ts';
import { GantryError } from '../report/errors.ts';
import { FrameMapParser, FrameMapProblem } from './frame-map-text.ts';
import { openExport } from './open-export.ts';
import { readDump } from './read-dump.ts';

const PREFIX = 'web1.example.com/20261122T081500Z/';

/** An export whose map has entries of every kind, and its store. */
async function sample(): Promise<{ readonly store: MemoryStore; readonly map: string; readonly manifest: string }> {
  const store = new MemoryStore();
  const lineage = new SampleLineage(store);
  const first = Array.from({ length: 6 }, () => Buffer.concat([randomBytes(FRAME / 2), Buffer.alloc(FRAME / 2, 'x')]));
  await lineage.full(first);
  const patched = first.map((frame, index) => (index === 2 ? Buffer.concat([Buffer.from('changed'), frame.subarray(7)]) : frame));
  await lineage.incremental([...patched, Buffer.alloc(FRAME), ...patched.slice(0, 2), randomBytes(100)], { patches: true });
  return { store, map: await get(store, `${PREFIX}disk0.map`), manifest: await get(store, `${PREFIX}manifest.json`) };
}

/** What someone who made the export might have done to its map, and then to the manifest, so that both fit. */
const change: fc.Arbitrary<(lines: readonly string[]) => readonly string[]> = fc.oneof(
  // Another number in one place.
  fc
    .tuple(fc.nat(), fc.nat(9), fc.oneof(fc.nat(20), fc.nat(400_000), fc.constant(2 ** 26), fc.constant(2 ** 45), fc.constant(2 ** 53 - 1)))
    .map(
      ([line, place, number]) =>
        (lines: readonly string[]) =>
          lines.map((text, index) => {
            const words = text.split(' ');
            const at = 1 + (place % Math.max(1, words.length - 1));
            return index === line % lines.length && /^\d+$/.test(words[at] ?? '') ? words.with(at, String(number)).join(' ') : text;
          }),
    ),
  // A line in the place of another, twice, or not at all.
  fc.tuple(fc.nat(), fc.nat()).map(
    ([one, other]) =>
      (lines: readonly string[]) =>
        lines.with(one % lines.length, lines[other % lines.length] ?? ''),
  ),
  fc.nat().map((line) => (lines: readonly string[]) => lines.toSpliced(line % lines.length, 1)),
  fc.nat().map((line) => (lines: readonly string[]) => lines.toSpliced(line % lines.length, 0, lines[line % lines.length] ?? '')),
  // Zeros where data is.
  fc
    .nat()
    .map(
      (line) => (lines: readonly string[]) =>
        lines.map((text, index) => (index === line % lines.length ? text.replace(/^(?:frame|patch) (\d+) .*/, 'zeros $1') : text)),
    ),
  // Another digest, and anything at all.
  fc
    .nat()
    .map(
      (line) => (lines: readonly string[]) =>
        lines.map((text, index) => (index === line % lines.length ? text.replace(/[0-9a-f]{64}/, 'ab'.repeat(32)) : text)),
    ),
  fc.tuple(fc.nat(), fc.string()).map(
    ([line, text]) =>
      (lines: readonly string[]) =>
        lines.with(line % lines.length, text),
  ),
);

/** The last line says how many entries there are, and how many bytes. */
function withEnd(lines: readonly string[]): readonly string[] {
  const entries = lines.filter((line) => /^(?:zeros|frame|patch) /.test(line));
  const bytes = entries.reduce((sum, line) => sum + Number(line.split(' ')[1]), 0);
  return [...lines.filter((line) => !line.startsWith('end ')), `end ${entries.length} ${bytes}`];
}

test('a map that lies, with a manifest that fits it, is refused or gives just what it says: nothing else happens', async () => {
  const { store, map, manifest } = await sample();
  const changes = fc.tuple(fc.array(change, { minLength: 1, maxLength: 3 }), fc.boolean());
  await fc.assert(
    fc.asyncProperty(changes, async ([all, mended]) => {
      const changed = all.reduce<readonly string[]>((lines, each) => each(lines), map.trimEnd().split('\n'));
      const lines = mended ? withEnd(changed) : changed;
      const text = `${lines.join('\n')}\n`;
      const parsed: { dumps: { plainBytes: number; map: object }[] } = JSON.parse(manifest);
      const [dump] = parsed.dumps;
      const bytes = Number(lines.at(-1)?.split(' ')[2]);
      const plainBytes = Number.isSafeInteger(bytes) ? bytes : (dump?.plainBytes ?? 0);
      const lie = { ...dump, plainBytes, map: { ...dump?.map, size: Buffer.byteLength(text), sha256: hash('sha256', text) } };
      await put(store, `${PREFIX}disk0.map`, text);
      await put(store, `${PREFIX}manifest.json`, JSON.stringify({ ...parsed, dumps: [lie] }));
      await expectSafe(store, plainBytes);
    }),
    { numRuns: 300 },
  );
});

/** Reading the disk gives a GantryError, or the bytes that were announced, each frame with its SHA-256; with little memory, and from packs alone. */
async function expectSafe(memory: MemoryStore, plainBytes: number): Promise<void> {
  const keys = new Set<string>();
  const store = watchedStore(memory, { before: (call) => void keys.add(call.replace(/^read /, '')) });
  const budget = new MemoryBudget(16 * FRAME);
  let most = 0;
  let read = 0;
  try {
    const found = await openExport(store, 'web1.example.com@20261122T081500Z');
    const [dump] = found.dumps;
    if (dump === undefined) throw new Error('no dump');
    for await (const piece of readDump(found, dump, { budget, signal: AbortSignal.timeout(100_000), warn: () => undefined })) {
      read += piece instanceof Uint8Array ? piece.length : piece.zeros;
      most = Math.max(most, budget.usedBytes);
    }
    expect(read).toBe(plainBytes);
  } catch (error) {
    if (!(error instanceof GantryError)) throw error;
    expect(['MAP_DAMAGED', 'MANIFEST_DAMAGED', 'DUMP_DAMAGED', 'PACK_MISSING', 'DUMP_MISSING']).toContain(error.code);
  }
  expect(most).toBeLessThanOrEqual(budget.limit + 2 * 64 * 1024 ** 2);
  const own = ['manifest.json', 'disk0.map', 'disk0.pack.zst'].map((name) => `${PREFIX}${name}`);
  const packs = [...own, 'web1.example.com/20261121T081500Z/disk0.zst'];
  for (const key of keys) if (!key.startsWith('list ') && key !== 'gantry-store.json') expect(packs).toContain(key);
  await expect.poll(() => budget.usedBytes).toBe(0);
}

test('for any bytes that come as a map, the parser says what is wrong with it', async () => {
  const owner = { instance: 'web1', exportId: '20261122T081500Z', packs: [] };
  const line = fc.oneof(
    fc.constant('gantry-frame-map 1'),
    fc.nat(2 ** 31 - 1).map((size) => `zeros ${size}`),
    fc
      .tuple(fc.constantFrom('zeros', 'frame', 'patch', 'end', 'pack'), fc.array(fc.oneof(fc.nat().map(String), fc.string())))
      .map(([kind, words]) => [kind, ...words].join(' ')),
    fc.string(),
  );
  fc.assert(
    fc.property(fc.array(line), fc.integer({ min: 1, max: 100 }), (lines, chunk) => {
      const bytes = Buffer.from(['gantry-frame-map 1', ...lines].join('\n'));
      const parser = new FrameMapParser(owner, 2 ** 40);
      try {
        for (let at = 0; at < bytes.length; at += chunk) parser.push(bytes.subarray(at, at + chunk));
        expect(parser.end().plainBytes).toBe(2 ** 40);
      } catch (error) {
        expect(error).toBeInstanceOf(FrameMapProblem);
      }
    }),
    { numRuns: 500 },
  );
});
