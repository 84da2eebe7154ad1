import { verifyExport } from '@gantry/core';
import { formatBytes } from '../output/format.ts';
import type { CommonOptions, Session } from '../session.ts';
import { argument } from '../commands/common.ts';

export interface VerifyOptions extends CommonOptions {
  readonly parallel?: number;
}

export async function verify(session: Session, args: readonly string[], options: VerifyOptions): Promise<void> {
  await using store = await session.open(argument(args, 0));
  const { signal, onEvent } = session.operation;
  const result = await verifyExport({ store, export: argument(args, 1), signal, onEvent, parallel: options.parallel });
  const text = result.checksums ? 'every frame and digest is right' : 'readable; it carries no checksums';
  session.output.result({ operation: 'verify', ...result }, `${result.reference}: ${text} (${formatBytes(result.plainBytes)})`);
}
