import { dumpDamaged } from './damage.ts';
import type { DumpReader } from './dump-reader.ts';
import type { StreamDigest } from './stream-digest.ts';
import type { FramedDump } from './types.ts';

/**
 * Checks that the dump ends here, has its size and its SHA-256.
 *
 * @throws GantryError `DUMP_DAMAGED`
 */
export async function assertWhole(reader: DumpReader, digest: StreamDigest, dump: FramedDump): Promise<void> {
  const { offset } = reader;
  if (!(await reader.atEnd())) throw dumpDamaged('it goes on where its end should be', { offset });
  if (offset !== dump.storedBytes) throw dumpDamaged(`it has ${offset} bytes and should have ${dump.storedBytes}`);
  const sha256 = await digest.hex();
  if (sha256 !== dump.sha256) throw dumpDamaged(`its SHA-256 is ${sha256} and should be ${dump.sha256}`);
}
