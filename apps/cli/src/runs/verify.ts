import { verifyExport } from '@gantry/core';
import { formatBytes } from '../output/format.ts';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { PARALLEL, RATE } from '../command-line/options.ts';

/** Runs `gantry verify`. */
export async function run(
  session: Session,
  [address, reference]: readonly [string, string],
  { parallel }: OptionValues<typeof RATE & typeof PARALLEL>,
): Promise<void> {
  await using store = await session.open(address, 'read');
  const { signal, onEvent } = session.operation;
  const result = await verifyExport({ store, export: reference, signal, onEvent, parallel });
  const text = result.checksums ? 'every frame and digest is correct' : 'readable, but it has no checksums';
  session.output.result({ operation: 'verify', ...result }, `${result.reference}: ${text} (${formatBytes(result.plainBytes)})`);
}
