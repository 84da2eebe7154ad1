import { GantryError, moveOutcome, receiveInstance } from '@gantry/core';
import type { Command } from 'commander';
import type { CommonOptions, Session, Surroundings } from '../session.ts';
import { stdioChannel } from '../stdio-channel.ts';
import { collect, newCommand, runs, withOsPath, withState } from './common.ts';

interface ReceiveOptions extends CommonOptions {
  readonly json?: boolean;
  readonly outcome?: string;
  readonly allowInstance?: readonly string[];
  readonly allowOs?: readonly string[];
  readonly instanceDirectory?: string;
}

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

  runs<ReceiveOptions>(command, surroundings, async (session, _args, options) => {
    if (options.outcome === undefined && options.json === true) {
      throw new GantryError('USAGE', {
        message: 'gantry receive has no --json but for --outcome: standard output belongs to the source',
        hint: 'The source tells what happens here: gantry move --json.',
      });
    }
    if (options.outcome === undefined) await receive(session, options);
    else await tellOutcome(session, options.outcome);
  });
}

/** Standard output is the channel's: whatever is for humans goes to stderr. */
async function receive(session: Session, options: ReceiveOptions): Promise<void> {
  await using channel = stdioChannel();
  const result = await receiveInstance({
    ...session.operation,
    channel,
    cwd: session.cwd,
    limits: {
      instances: options.allowInstance,
      osDefinitions: options.allowOs,
      instanceDirectory: options.instanceDirectory,
    },
  });
  session.output.note(`${result.instance} received and committed (move ${result.moveId})`);
}

async function tellOutcome(session: Session, moveId: string): Promise<void> {
  const record = await moveOutcome(moveId, { stateDirectory: session.operation.stateDirectory });
  session.output.result(
    { operation: 'receive', ...record },
    `${record.instance} was committed here as ${record.target} at ${record.time}: it may be released on ${record.node}`,
  );
}
