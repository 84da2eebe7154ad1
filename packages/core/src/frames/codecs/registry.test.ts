import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { sampleManifest, sampleRecord } from '../../../test/sample-export.ts';
import { renderExportConfig } from '../../exports/config-export.ts';
import { codecOfCompression, parseExportConfig } from '../../exports/config-import.ts';
import { dumpFileName, isDumpName } from '../../exports/layout.ts';
import { checkManifest } from '../../exports/manifest.ts';
import { decodeDump } from '../decode-dump.ts';
import { encodeDump } from '../encode-dump.ts';
import { collect, inChunks, overwritten, readerOf } from '../testing/streams.ts';
import { chooseLevel, describeLevels } from './levels.ts';
import { CODEC_NAMES, codecNamed, CODECS, DEFAULT_CODEC, isCodec, isStoredPlain } from './registry.ts';

const { signal } = new AbortController();
const PLAIN = Buffer.concat([Buffer.from('what a disk holds '.repeat(100)), Buffer.alloc(5000)]);

/*
 * Goes through the registry, so that a new codec has all of this, or fails here.
 */
describe.each(CODECS)('the codec $name', ({ name, suffix, levels }) => {
  test('makes dumps that can be read with their manifest and, like dumps of the standard tools, without', async () => {
    const dump = encodeDump(readerOf(overwritten([PLAIN])), { codec: name, frameSize: 1000, signal });
    const stored = await collect(dump.stored);
    const summary = dump.summary();
    expect(summary).toMatchObject({ codec: name, plainBytes: PLAIN.length, storedBytes: stored.length });
    for (const framed of [summary, undefined])
      expect((await collect(decodeDump(inChunks(stored, 700), { codec: name, framed, table: dump.table(), signal }))).equals(PLAIN)).toBe(
        true,
      );
  });

  test('has its own file name, and a place in manifests and config.ini', () => {
    const file = dumpFileName(0, name);
    expect(file).toBe(`disk0${suffix}`);
    expect(isDumpName(file)).toBe(true);
    const record = { ...sampleRecord(0, 'first'), name: file, codec: name };
    const manifest = sampleManifest('20261123T081500Z', [record]);
    expect(checkManifest(manifest, 'it').dumps).toEqual([record]);
    const config = renderExportConfig(manifest);
    expect(codecOfCompression(parseExportConfig(config, 'it').compression, 'it')).toBe(name);
    // Ganeti only reads plain dumps.
    expect(/^version = (\d)$/m.exec(config)?.[1]).toBe(isStoredPlain(name) ? '0' : '1');
  });

  test('compresses only at its levels, or does not have any', () => {
    if (levels === undefined) {
      expect(chooseLevel(name, undefined)).toBeUndefined();
      expect(() => chooseLevel(name, 1)).toThrow(expect.objectContaining({ code: 'USAGE' }));
      return;
    }
    const { lowest, highest, usual } = levels;
    expect(chooseLevel(name, undefined)).toBe(usual);
    expect([chooseLevel(name, lowest), chooseLevel(name, highest)]).toEqual([lowest, highest]);
    for (const level of [lowest - 1, highest + 1, lowest + 0.5])
      expect(() => chooseLevel(name, level)).toThrow(expect.objectContaining({ code: 'USAGE' }));
    expect(describeLevels()).toContain(`${name} ${lowest}-${highest} (default ${usual})`);
  });

  test('has a row in the page on dumps', async () => {
    const page = await readFile(new URL('../../../../../docs/reference/formats/dumps.md', import.meta.url), 'utf8');
    expect(page).toMatch(new RegExp(`^\\| \`${name}\`[^|]*\\| \`disk0\\${suffix}\``, 'm'));
  });
});

test('names and file names are unique, and other names are not codecs', () => {
  expect(new Set(CODEC_NAMES).size).toBe(CODECS.length);
  expect(new Set(CODECS.map(({ suffix }) => suffix)).size).toBe(CODECS.length);
  expect(CODEC_NAMES).toContain(DEFAULT_CODEC);
  for (const name of CODEC_NAMES) expect(codecNamed(name).name).toBe(name);
  for (const name of ['', 'ZSTD', 'lz4', 'toString']) expect(isCodec(name)).toBe(false);
});
