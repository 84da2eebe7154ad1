import { resolve } from 'node:path';
import type { SnapshotMode } from '@gantry/core';
import type { PeerChannel } from '@gantry/transport';
import { loadInstanceFile, moveInstance, readSnapshotConfig } from '@gantry/core';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { CommonOptions, Session } from '../session.ts';
import { openPeer } from '../transports.ts';
import { argument } from '../commands/common.ts';

export interface MoveOptions extends CommonOptions {
  readonly to: string;
  readonly level?: number;
  readonly snapshot: SnapshotMode;
  readonly snapshotConfig?: string;
  readonly disk?: readonly number[];
  readonly parallel?: number;
  readonly rename?: boolean;
  readonly allowOtherOs?: boolean;
  readonly peerTimeout?: number;
  readonly stallTimeout?: number;
  readonly peerProgram?: string;
}

export async function move(session: Session, args: readonly string[], options: MoveOptions): Promise<void> {
  const started = performance.now();
  const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
  const snapshotConfig =
    options.snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(session.cwd, options.snapshotConfig));
  await using peer = await connect(session, argument(args, 1), instance.name, options.peerProgram);
  const result = await moveInstance({
    ...session.operation,
    instance,
    peer,
    to: options.to,
    level: options.level,
    snapshot: options.snapshot,
    snapshotConfig,
    disks: options.disk,
    parallel: options.parallel,
    rename: options.rename,
    allowOtherOs: options.allowOtherOs,
    forceInUse: options.forceInUse,
    bytesPerSecond: options.limitRate,
    peerTimeout: options.peerTimeout,
    stallTimeout: options.stallTimeout,
  });
  const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} sent, in ${formatDuration(performance.now() - started)}`;
  session.output.event({ type: 'stage', operation: 'move', message: `moved ${amount}` });
  const text = `${result.instance} is ${result.target} on ${result.peer} now, committed there; here it may be released`;
  session.output.result({ operation: 'move', ...result }, text);
}

/** Like every stage after it, this one says when it fails what that means for the instance. */
async function connect(session: Session, address: string, instance: string, program: string | undefined): Promise<PeerChannel> {
  try {
    return await openPeer(address, { ...session, warn: session.warn }, program);
  } catch (error) {
    session.warn(`the move failed (stage: connect): ${instance} is here as it was, and is not to be released`);
    throw error;
  }
}
