import { dumpDamaged } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { StreamDigest } from './stream-digest.ts';
import type { FramedDump } from './types.ts';

/**
 * Checks that the dump ends here, and its size and SHA-256.
 *
 * @throws GantryError `DUMP_DAMAGED`
 */
export async function assertComplete(reader: DumpReader, digest: StreamDigest, dump: FramedDump): Promise<void> {
  const { offset } = reader;
  if (!(await reader.atEnd())) throw dumpDamaged('more data follows its end', { offset });
  if (offset !== dump.storedBytes) throw dumpDamaged(`size mismatch: got ${offset} bytes, expected ${dump.storedBytes}`);
  const sha256 = await digest.hex();
  if (sha256 !== dump.sha256) throw dumpDamaged(`SHA-256 mismatch: got ${sha256}, expected ${dump.sha256}`);
}
