import type { ReceiveOptions } from '../actions/receive.ts';
import type { Command } from 'commander';
import type { Surroundings } from '../session.ts';
import { collect, newCommand, runs, withOsPath, withState } from './common.ts';

export function addReceiveCommand(program: Command, surroundings: Surroundings): void {
  const command = withOsPath(
    withState(
      newCommand(
        program,
        'receive',
        'Take in an instance from gantry move on another machine, through standard input and output. Run by gantry move, or as a forced command of authorized_keys.',
        [
          'gantry receive --allow-instance "web*" --allow-os debootstrap --instance-directory /etc/gantry',
          'gantry receive --outcome 0123456789abcdef0123456789abcdef',
        ],
      ),
    ),
  )
    .option('--allow-instance <pattern>', 'instances that may be received, by their names here; * is anything; may repeat', collect)
    .option('--allow-os <name>', 'OS definitions that may be used; may repeat', collect)
    .option('--instance-directory <directory>', 'instance files must be in it, and count from it')
    .option('--outcome <move-id>', 'say whether this move was committed here, and do nothing else');

  runs<ReceiveOptions>(command, surroundings, async () => (await import('../actions/receive.ts')).receive);
}
