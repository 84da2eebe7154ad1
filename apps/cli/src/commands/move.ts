import { resolve } from 'node:path';
import type { SnapshotMode } from '@gantry/core';
import { loadInstanceFile, moveInstance, readSnapshotConfig } from '@gantry/core';
import type { Command } from 'commander';
import { formatBytes, formatDuration } from '../output/format.ts';
import type { CommonOptions, Surroundings } from '../session.ts';
import { openPeer } from '../transports.ts';
import { argument, collectDisks, newCommand, runs, wholeNumber, withRate, withScripts, withSnapshots } from './common.ts';

interface MoveOptions extends CommonOptions {
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

export function addMoveCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    withSnapshots(
      withScripts(
        newCommand(
          program,
          'move <instance-file> <peer>',
          'Move the disks of an instance straight into those of one on a peer, which must have gantry too. What they hold is overwritten.',
          [
            'gantry move web1.yaml ssh://node2.example.com --to /etc/gantry/web1.yaml',
            'gantry move web1.yaml ssh://gantry@node2.example.com:2222 --to web1.yaml --rename --limit-rate 50M',
          ],
        ),
      ),
    ),
  )
    .requiredOption('--to <instance-file>', 'the instance file on the peer that describes the target')
    .option('--level <n>', 'level of zstd, 1-19 (default 1: more for slow lines)', wholeNumber(1))
    .option('--disk <n>', 'move this disk alone; may repeat', collectDisks)
    .option('--parallel <n>', 'how many disks at once', wholeNumber(1))
    .option('--rename', 'let the rename script there give the system the name of the target')
    .option('--allow-other-os', 'hand the data to another OS definition than the one that made it')
    .option('--peer-timeout <seconds>', 'give the peer up when nothing comes from it for so long (default 60)', wholeNumber(1))
    .option('--stall-timeout <seconds>', 'give up when no byte of any disk moves for so long (default: never)', wholeNumber(1))
    .option('--peer-program <path>', 'how gantry is called on the peer');

  runs<MoveOptions>(command, surroundings, async (session, args, options) => {
    const started = performance.now();
    const instance = await loadInstanceFile(resolve(session.cwd, argument(args, 0)), { signal: session.signal });
    const snapshotConfig =
      options.snapshotConfig === undefined ? undefined : await readSnapshotConfig(resolve(session.cwd, options.snapshotConfig));
    await using peer = await openPeer(argument(args, 1), { ...session, warn: session.warn }, options.peerProgram);
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
      bytesPerSecond: options.limitRate,
      peerTimeout: options.peerTimeout,
      stallTimeout: options.stallTimeout,
    });
    const amount = `${formatBytes(result.plainBytes)}, ${formatBytes(result.storedBytes)} sent, in ${formatDuration(performance.now() - started)}`;
    session.output.event({ type: 'stage', operation: 'move', message: `moved ${amount}` });
    const text = `${result.instance} is ${result.target} on ${result.peer} now, committed there; here it may be released`;
    session.output.result({ operation: 'move', ...result }, text);
  });
}
