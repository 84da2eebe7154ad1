import { crc32 } from 'node:zlib';
import { dumpDamaged } from './damage.ts';
import { DumpReader } from './dump-reader.ts';
import { StreamDigest } from './stream-digest.ts';
import type { DumpProgress, FramedDump, PlainPiece } from './types.ts';
import { assertWhole } from './complete.ts';
import { isZero } from './zeros.ts';

/** The plain stream of an uncompressed dump, each frame checked before it is handed on. */
export async function* decodePlain(
  stored: AsyncIterable<Uint8Array>,
  dump: FramedDump,
  o: { readonly onProgress?: DumpProgress | undefined },
): AsyncGenerator<PlainPiece, void, undefined> {
  using digest = new StreamDigest();
  await using reader = new DumpReader(stored, digest);
  const checksums = Buffer.from(dump.frameCrc32 ?? '', 'base64');
  if (checksums.length !== dump.frames * 4) throw dumpDamaged(`it has ${dump.frames} frames and ${checksums.length / 4} checksums`);
  const room = Buffer.allocUnsafeSlow(Math.min(dump.frameSize, dump.plainBytes));
  for (let frame = 0; frame < dump.frames; frame += 1) {
    const { offset } = reader;
    const plain = room.subarray(0, Math.min(dump.frameSize, dump.plainBytes - offset));
    if ((await reader.read(plain)) < plain.length) throw dumpDamaged('it is cut off', { frame, offset });
    if (crc32(plain) !== checksums.readUInt32BE(frame * 4)) {
      throw dumpDamaged('its checksum is wrong', { frame, offset });
    }
    o.onProgress?.(reader.offset, reader.offset);
    yield isZero(plain) ? { zeros: plain.length } : plain;
  }
  await assertWhole(reader, digest, dump);
}
