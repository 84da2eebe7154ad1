import { resolve } from 'node:path';
import type { PeerChannel } from '@gantry/transport';
import { moveInstance, readSnapshotConfig } from '@gantry/core';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { CONSENT, flag, PARALLEL, RATE, requiredText, SCRIPTS, text, wholeNumber, wholeNumbers } from '../command-line/options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';
import { consentOf, describeDryRun } from '../consent.ts';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { Session } from '../session.ts';

const command: CommandModule = defineCommand({
  description:
    'Move the disks of an instance directly to an instance on a peer, which must have gantry too. The contents of its disks are overwritten.',
  arguments: ['<instance>', '<peer>'],
  options: {
    ...SCRIPTS,
    ...CONSENT,
    ...SNAPSHOTS,
    ...RATE,
    to: requiredText('--to <instance>', 'the target as the peer names it: an instance file there, or SCHEME:NAME'),
    level: wholeNumber('--level <n>', 'zstd level, 1-19 (default 1: use more on slow links)'),
    disk: wholeNumbers('--disk <n>', 'move only this disk'),
    ...PARALLEL,
    rename: flag('--rename', 'run the rename script on the peer, which gives the system the name of the target'),
    allowOtherOs: flag('--allow-other-os', 'allow another OS definition than the one that exports the data'),
    peerTimeout: wholeNumber('--peer-timeout <seconds>', 'fail if nothing comes from the peer for this long (default 60)'),
    stallTimeout: wholeNumber('--stall-timeout <seconds>', 'fail if no disk makes progress for this long (default: never)'),
    peerProgram: text('--peer-program <path>', 'the gantry command on the peer'),
  },
  examples: [
    'gantry move web1.yaml ssh://node2.example.com --to /etc/gantry/web1.yaml',
    'gantry move web1.yaml ssh://gantry@node2.example.com:2222 --to web1.yaml --rename --limit-rate 50M',
  ],
  run: async (session, [named, address], options) => {
    const started = performance.now();
    const { instance } = await session.describe(named);
    const snapshotConfig =
      options.snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(session.cwd, options.snapshotConfig));
    await using peer = await connect(session, address, instance.name, options.peerProgram);
    const result = await moveInstance({
      ...session.operation,
      ...consentOf(session, options),
      instance,
      peer,
      to: options.to,
      level: options.level,
      snapshot: options.snapshot,
      snapshotConfig,
      snapshotSize: options.snapshotSize,
      disks: options.disk,
      parallel: options.parallel,
      rename: options.rename,
      allowOtherOs: options.allowOtherOs,
      forceInUse: options.forceInUse,
      bytesPerSecond: options.limitRate,
      peerTimeout: options.peerTimeout,
      stallTimeout: options.stallTimeout,
    });
    if (result.dryRun) {
      session.output.result({ operation: 'move', ...result }, describeDryRun(session, result.plan));
      return;
    }
    const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} sent`;
    const took = formatDuration(performance.now() - started);
    session.output.event({ type: 'stage', operation: 'move', message: `moved ${amount} in ${took}` });
    const summary = `moved ${result.instance} to ${result.target} on ${result.peer} (committed); the copy here can be removed`;
    session.output.result({ operation: 'move', ...result }, summary);
  },
});

export default command;

/** Like every later stage, this one says on failure what that means for the instance. */
async function connect(session: Session, address: string, instance: string, program: string | undefined): Promise<PeerChannel> {
  try {
    return await session.openPeer(address, program);
  } catch (error) {
    session.warn(`the move failed (stage: connect): ${instance} is unchanged here: keep it`);
    throw error;
  }
}
