import type { MoveOptions } from '../actions/move.ts';
import type { Command } from 'commander';
import type { Surroundings } from '../session.ts';
import { collectDisks, newCommand, runs, wholeNumber, withRate, withScripts, withSnapshots, withTargets } from './common.ts';

export function addMoveCommand(program: Command, surroundings: Surroundings): void {
  const command = withRate(
    withSnapshots(
      withTargets(
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

  runs<MoveOptions>(command, surroundings, async () => (await import('../actions/move.ts')).move);
}
