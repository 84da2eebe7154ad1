import { mergeSettings } from '@gantry/config';
import type { PeerChannel } from '@gantry/transport';
import { chooseLevel, GantryError, moveInstance } from '@gantry/core';
import { formatBytes, formatDuration } from '@gantry/programs';
import { receiverCommand } from '@gantry/transport';
import { consentOf, describeDryRun } from '../consent.ts';
import type { Session } from '../session.ts';
import { defineChoiceOf } from './define-choice.ts';
import { liveChoiceOf } from './live-choice.ts';
import { snapshotChoiceOf, snapshotOptionsOf } from './snapshot-choice.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { CONSENT, DEFINE, PARALLEL, RATE, SCRIPTS } from '../command-line/options.ts';
import type { SNAPSHOTS } from '../command-line/snapshot-options.ts';

/** Runs `gantry move`. */
export async function run(
  session: Session,
  [named, address]: readonly [string, string],
  options: OptionValues<typeof SCRIPTS & typeof CONSENT & typeof SNAPSHOTS & typeof RATE & typeof PARALLEL & typeof DEFINE> & {
    readonly to: string;
    readonly level: number | undefined;
    readonly disk: readonly number[] | undefined;
    readonly rename: true | undefined;
    readonly stopSource: true | undefined;
    readonly stopTimeout: number | undefined;
    readonly undefineSource: true | undefined;
    readonly allowOtherOs: true | undefined;
    readonly peerTimeout: number | undefined;
    readonly stallTimeout: number | undefined;
    readonly liveRounds: number | undefined;
    readonly resume: true | undefined;
    readonly peerProgram: string | undefined;
  },
): Promise<void> {
  const started = performance.now();
  assertPeerProgram(options.peerProgram);
  if (options.level !== undefined) chooseLevel('zstd', options.level);
  const described = await session.describe(named);
  const { instance, native } = described;
  const define = defineChoiceOf(options);
  const { stopSource: stop, stopTimeout, undefineSource: undefine } = options;
  const isChanged = stop === true || undefine === true;
  const origin = isChanged || define !== undefined ? await session.openSourceOf(named) : undefined;
  await using _source = origin?.source;
  const settings = mergeSettings([await session.settings({}), snapshotOptionsOf(options)]);
  const snapshots = await snapshotChoiceOf(session, described, settings);
  const live = liveChoiceOf(session, options, described, snapshots.snapshotConfig);
  await using peer = await connect(session, address, instance.name, options.peerProgram);
  const result = await moveInstance({
    ...session.operation,
    ...consentOf(session, options),
    instance,
    native,
    peer,
    to: options.to,
    define,
    origin: origin && { ...origin, stop, stopTimeout, undefine },
    level: options.level,
    ...snapshots,
    live,
    disks: options.disk,
    parallel: settings.parallel,
    rename: options.rename,
    allowOtherOs: options.allowOtherOs,
    forceInUse: options.forceInUse,
    bytesPerSecond: await session.rate({}),
    peerTimeout: options.peerTimeout,
    stallTimeout: options.stallTimeout,
  });
  if (result.dryRun) {
    session.output.result({ operation: 'move', ...result }, describeDryRun(session, result.plan, result.checks));
    return;
  }
  const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} sent`;
  const took = formatDuration(performance.now() - started);
  const downtime = result.downtimeMs === undefined ? '' : `; ${result.instance} was down for ${formatDuration(result.downtimeMs)}`;
  session.output.event({ type: 'stage', operation: 'move', message: `moved ${amount} in ${took}${downtime}` });
  const summary = `moved ${result.instance} to ${result.target} on ${result.peer} (committed); the copy here can be removed`;
  session.output.result({ operation: 'move', ...result }, summary);
}

/** A shell on the peer reads it. @throws GantryError `USAGE` */
function assertPeerProgram(program: string | undefined): void {
  if (receiverCommand(program) !== undefined) return;
  throw new GantryError('USAGE', {
    message: `--peer-program is ${JSON.stringify(program)}: it has characters that a shell would interpret`,
    hint: 'Use a path of only letters, digits and ._/+-.',
  });
}

/** Like every later stage, this one says on failure what that means for the instance. */
async function connect(session: Session, address: string, instance: string, program: string | undefined): Promise<PeerChannel> {
  try {
    return await session.openPeer(address, program);
  } catch (error) {
    session.warn(`the move failed (stage: connect): ${instance} is unchanged here: keep it`);
    throw error;
  }
}
