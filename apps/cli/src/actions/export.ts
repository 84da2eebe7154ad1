import { resolve } from 'node:path';
import { exportInstance, loadInstanceFile, readSnapshotConfig } from '@gantry/core';
import type { Codec, SnapshotMode } from '@gantry/core';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { CommonOptions, Session } from '../session.ts';
import { wantsNewStore } from '../create-store.ts';
import { argument } from '../commands/common.ts';

export interface ExportOptions extends CommonOptions {
  readonly codec: Codec;
  readonly level?: number;
  readonly snapshot: SnapshotMode;
  readonly snapshotConfig?: string;
  readonly disk?: readonly number[];
  readonly parallel?: number;
  readonly withPrivate?: boolean;
  readonly createStore?: boolean;
}

export async function exportDisks(session: Session, args: readonly string[], options: ExportOptions): Promise<void> {
  const started = performance.now();
  const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
  await using store = await session.open(argument(args, 1));
  const result = await exportInstance({
    ...session.operation,
    instance,
    store,
    codec: options.codec,
    snapshot: options.snapshot,
    ...(options.snapshotConfig === undefined
      ? {}
      : { snapshotConfig: await readSnapshotConfig(resolve(session.cwd, options.snapshotConfig)) }),
    ...(options.level === undefined ? {} : { level: options.level }),
    ...(options.disk === undefined ? {} : { disks: options.disk }),
    ...(options.parallel === undefined ? {} : { parallel: options.parallel }),
    includePrivate: options.withPrivate === true,
    createStore: options.createStore === true || wantsNewStore(session.env),
  });
  const plain = formatBytes(result.plainBytes);
  session.output.event({
    type: 'stage',
    operation: 'export',
    message: `exported ${plain}, ${formatBytes(result.storedBytes)} stored, in ${formatDuration(performance.now() - started)}`,
  });
  session.output.result({ operation: 'export', ...result }, result.reference);
}
