import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { CONSENT, DEFINE, PARALLEL, RATE, SCRIPTS, flag, requiredText, text, wholeNumber, wholeNumbers } from '../command-line/options.ts';
import { SNAPSHOTS } from '../command-line/snapshot-options.ts';

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
    ...DEFINE,
    stopSource: flag('--stop-source', 'shut the instance down here before its disks are read; if the move fails, it is started again'),
    stopTimeout: wholeNumber('--stop-timeout <seconds>', 'with --stop-source: fail if it still runs after this long (default 120)'),
    undefineSource: flag('--undefine-source', 'once the move is committed, make its source here forget the instance; its disks stay'),
    allowOtherOs: flag('--allow-other-os', 'allow another OS definition than the one that exports the data'),
    peerTimeout: wholeNumber('--peer-timeout <seconds>', 'fail if nothing comes from the peer for this long (default 60)'),
    stallTimeout: wholeNumber('--stall-timeout <seconds>', 'fail if no disk makes progress for this long (default: never)'),
    liveRounds: wholeNumber('--live-rounds <n>', 'move in this many rounds, all but the last while the instance runs'),
    resume: flag(
      '--resume',
      'with --live-rounds: send only what differs from what is on the disks of the target, such as a move that was cut',
    ),
    peerProgram: text('--peer-program <path>', 'the gantry command on the peer'),
  },
  examples: [
    'gantry move web1.yaml ssh://node2.example.com --to /etc/gantry/web1.yaml',
    'gantry move web1.yaml ssh://gantry@node2.example.com:2222 --to web1.yaml --rename --limit-rate 50M',
    'gantry move web1.yaml ssh://node2.example.com --to /etc/gantry/web1.yaml --live-rounds 3 --snapshot-config pause.yaml',
    'gantry move libvirt:web1 ssh://node2 --to /etc/gantry/web1.yaml --define libvirt: --start --stop-source --undefine-source',
  ],
  run: async (...call) => (await import('../runs/move.ts')).run(...call),
});

export default command;
