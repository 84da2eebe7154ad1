import type { FuzzTarget } from '@gantry/testkit';
import { Memory, MemoryStore } from '@gantry/transport/testing';
import { encodeFrameTables, frameTablesBytes, readFrameTables } from '../../src/exports/frame-tables.ts';
import { digestBytes } from '../../src/exports/small-object.ts';
import { assertFits, codecForReading } from '../../src/frames/decode-dump.ts';
import { FrameTable } from '../../src/frames/frame-table.ts';
import { sampleManifest } from '../sample-export.ts';
import { assertRefused } from './refusal.ts';

const FRAMES = 3;
const codec = codecForReading('zstd');
const DUMP = {
  index: 0,
  name: 'disk0.zst',
  codec: 'zstd',
  frameSize: 100,
  frames: FRAMES,
  plainBytes: 250,
  storedBytes: 30 + 20 + codec.zeroFrame(100).length + codec.trailerBytes(FRAMES),
  sha256: '0'.repeat(64),
  messages: [],
  snapshot: 'none',
} as const;

function sample(): Uint8Array {
  const table = new FrameTable();
  table.push({ storedBytes: 30, isZeros: false, checksum: 1 });
  table.push({ storedBytes: codec.zeroFrame(100).length, isZeros: true, checksum: 2 });
  table.push({ storedBytes: 20, isZeros: false, checksum: 0xffff_ffff });
  return encodeFrameTables([table]);
}

/** The object that says where each frame of an export is, with a manifest that fits it. */
const target: FuzzTarget = {
  seeds: () => [sample()],
  maxBytes: frameTablesBytes(FRAMES),
  async run(input) {
    const memory = new Memory();
    const manifest = { ...sampleManifest('20261122T081500Z', [DUMP]), frameTables: digestBytes(input) };
    memory.objects.set('web1.example.com/20261122T081500Z/frames.table', { bytes: Buffer.from(input), modified: new Date(0) });
    try {
      const table = (await readFrameTables(new MemoryStore(memory), manifest, {})).get(0);
      if (table === undefined) throw new Error('no table');
      assertFits(codec, DUMP, table);
      if (
        !Buffer.from(encodeFrameTables([table]))
          .subarray(16)
          .equals(Buffer.from(input).subarray(16, frameTablesBytes(FRAMES)))
      )
        throw new Error('it changed on its round trip');
    } catch (error) {
      assertRefused(error, 'MANIFEST_DAMAGED', 'DUMP_DAMAGED');
    }
  },
};

export default target;
