import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { promisify } from 'node:util';

import { makeTemporaryDirectory, pseudoRandom } from '@gantry/testkit';
import { describe, expect, test } from 'vitest';

import { encodeDump } from './encode-dump.ts';
import { collect, overwritten, readerOf } from './testing/streams.ts';
import type { Codec } from './codecs/registry.ts';
import type { DumpSummary, PlainPiece } from './types.ts';

const run = promisify(execFile);
const { signal } = new AbortController();
const MiB = 1024 * 1024;

const STREAMS: readonly [string, readonly PlainPiece[]][] = [
  ['no bytes', []],
  ['one byte', [Buffer.of(42)]],
  ['only a hole', [{ zeros: 9 * MiB + 1 }]],
  ['exactly one frame', [...pseudoRandom('frame', 4 * MiB)]],
  [
    'text, holes and noise',
    [
      Buffer.from('a line of text\n'.repeat(400_000)),
      { zeros: 10 * MiB },
      ...pseudoRandom('noise', 5 * MiB),
      { zeros: 3 },
      Buffer.from('the end'),
    ],
  ],
];

const PYTHON_GUNZIP = 'import gzip,sys; sys.stdout.buffer.write(gzip.open(sys.argv[1]).read())';

interface Made {
  readonly stored: Buffer;
  readonly plain: Buffer;
  readonly summary: DumpSummary;
}

async function make(codec: Codec, pieces: readonly PlainPiece[]): Promise<Made> {
  const dump = encodeDump(readerOf(overwritten(pieces)), { codec, signal });
  const stored = await collect(dump.stored);
  return { stored, plain: await collect(overwritten(pieces)), summary: dump.summary() };
}

describe.each([
  [
    'zstd',
    '.zst',
    [
      ['zstd', '-dc'],
      ['zstd', '-dc', '--no-progress', '-T2'],
      ['pzstd', '-dc'],
    ],
    ['zstd', '-t'],
  ],
  ['gzip', '.gz', [['gzip', '-dc'], ['zcat'], ['pigz', '-dc'], ['python3', '-c', PYTHON_GUNZIP]], ['gzip', '-t']],
] as const)('%s: the standard tools restore the plain stream', (codec, suffix, readers, tester) => {
  test.each(STREAMS)('%s', async (_title, pieces) => {
    await using directory = await makeTemporaryDirectory();
    const { stored, plain } = await make(codec, pieces);
    const file = directory.file(`disk0${suffix}`);
    await writeFile(file, stored);
    await run(tester[0], [...tester.slice(1), file]);
    for (const [program, ...options] of readers) {
      const { stdout } = await run(program, [...options, file], { encoding: 'buffer', maxBuffer: 64 * MiB });
      expect(stdout.equals(plain), `${program} ${options.join(' ')}`).toBe(true);
    }
  });
});

test.each(STREAMS)('zstd -l counts the frames of %s, and the skippable frame with the seek table', async (_title, pieces) => {
  await using directory = await makeTemporaryDirectory();
  const { stored, plain, summary } = await make('zstd', pieces);
  await writeFile(directory.file('disk0.zst'), stored);
  const { stdout } = await run('zstd', ['-lv', directory.file('disk0.zst')]);
  expect(stdout).toMatch(new RegExp(`^# Zstandard Frames: ${summary.frames}$`, 'm'));
  expect(stdout).toMatch(/^# Skippable Frames: 1$/m);
  expect(stdout).toContain(`(${plain.length} B)`);
  expect(stdout).toMatch(/^Check: XXH64/m);
});

test('the seek table lists every frame, as the seekable format requires', async () => {
  const { stored, plain, summary } = await make('zstd', STREAMS.at(-1)?.[1] ?? []);
  const frames = stored.readUInt32LE(stored.length - 9);
  expect(frames).toBe(summary.frames);
  expect(stored.readUInt8(stored.length - 5)).toBe(0);
  expect(stored.readUInt32LE(stored.length - 4)).toBe(0x8f92eab1);
  const table = stored.length - 9 - frames * 8;
  expect(stored.readUInt32LE(table - 8)).toBe(0x184d2a5e);
  expect(stored.readUInt32LE(table - 4)).toBe(frames * 8 + 9);

  let storedAt = 0;
  let plainAt = 0;
  for (let frame = 0; frame < frames; frame += 1) {
    const storedBytes = stored.readUInt32LE(table + frame * 8);
    const plainBytes = stored.readUInt32LE(table + frame * 8 + 4);
    await using directory = await makeTemporaryDirectory();
    await writeFile(directory.file('frame.zst'), stored.subarray(storedAt, storedAt + storedBytes));
    const { stdout } = await run('zstd', ['-dc', directory.file('frame.zst')], { encoding: 'buffer', maxBuffer: 64 * MiB });
    expect(stdout.equals(plain.subarray(plainAt, plainAt + plainBytes))).toBe(true);
    storedAt += storedBytes;
    plainAt += plainBytes;
  }
  expect(storedAt).toBe(table - 8);
  expect(plainAt).toBe(plain.length);
});

test('an uncompressed dump is the plain stream', async () => {
  for (const [, pieces] of STREAMS) {
    const { stored, plain } = await make('none', pieces);
    expect(stored.equals(plain)).toBe(true);
  }
});
