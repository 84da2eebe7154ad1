import type { Codec } from '@gantry/core';
import { exportInstance } from '@gantry/core';
import { wantsNewStore } from '../create-store.ts';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { Session } from '../session.ts';
import { snapshotChoiceOf } from './snapshot-choice.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { PARALLEL, RATE, SCRIPTS } from '../command-line/options.ts';
import type { SNAPSHOTS } from '../command-line/snapshot-options.ts';

/** Runs `gantry export`. */
export async function run(
  session: Session,
  [named, address]: readonly [string, string],
  options: OptionValues<typeof SCRIPTS & typeof RATE & typeof SNAPSHOTS & typeof PARALLEL> & {
    readonly codec: Codec;
    readonly level: number | undefined;
    readonly disk: readonly number[] | undefined;
    readonly withPrivate: true | undefined;
    readonly createStore: true | undefined;
  },
): Promise<void> {
  const started = performance.now();
  const createStore = options.createStore === true || wantsNewStore(session.env);
  const described = await session.describe(named);
  const { instance } = described;
  const snapshots = await snapshotChoiceOf(session, described, options);
  await using store = await session.open(address, 'write');
  const result = await exportInstance({
    ...session.operation,
    instance,
    store,
    codec: options.codec,
    level: options.level,
    ...snapshots,
    disks: options.disk,
    parallel: options.parallel,
    includePrivate: options.withPrivate,
    createStore,
  });
  const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} stored`;
  const took = formatDuration(performance.now() - started);
  session.output.event({ type: 'stage', operation: 'export', message: `exported ${amount} in ${took}` });
  session.output.result({ operation: 'export', ...result }, result.reference);
}
