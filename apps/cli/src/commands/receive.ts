import type { ReceiveLimits } from '@gantry/core';
import { GantryError, moveOutcome, receiveInstance } from '@gantry/core';
import { stdioChannel } from '../stdio-channel.ts';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH, STATE, text, texts } from '../command-line/options.ts';
import type { Session } from '../session.ts';

const command: CommandModule = defineCommand({
  description:
    'Take in an instance from gantry move on another machine, through standard input and output. Run by gantry move, or as a forced command of authorized_keys.',
  arguments: [],
  options: {
    ...STATE,
    ...OS_PATH,
    allowInstance: texts('--allow-instance <pattern>', 'instances that may be received, by their names here; * is anything'),
    allowOs: texts('--allow-os <name>', 'OS definitions that may be used'),
    instanceDirectory: text('--instance-directory <directory>', 'instance files must be in it, and count from it'),
    outcome: text('--outcome <move-id>', 'say whether this move was committed here, and do nothing else'),
  },
  examples: [
    'gantry receive --allow-instance "web*" --allow-os debootstrap --instance-directory /etc/gantry',
    'gantry receive --outcome 0123456789abcdef0123456789abcdef',
  ],
  run: async (session, _args, options) => {
    if (options.outcome !== undefined) return showOutcome(session, options.outcome);
    const { allowInstance: instances, allowOs: osDefinitions, instanceDirectory } = options;
    await receive(session, { instances, osDefinitions, instanceDirectory });
  },
});

export default command;

/** Standard output belongs to the channel: what is for humans goes to stderr. */
async function receive(session: Session, limits: ReceiveLimits): Promise<void> {
  if (session.json) {
    throw new GantryError('USAGE', {
      message: 'gantry receive has no --json but for --outcome: standard output belongs to the source',
      hint: 'The source tells what happens here: gantry move --json.',
    });
  }
  await using channel = stdioChannel();
  const result = await receiveInstance({ ...session.operation, channel, cwd: session.cwd, limits });
  if (result.dryRun) session.output.note(`${result.instance} looked at for a dry run: nothing was received`);
  else session.output.note(`${result.instance} received and committed (move ${result.moveId})`);
}

async function showOutcome(session: Session, moveId: string): Promise<void> {
  const record = await moveOutcome(moveId, { stateDirectory: session.operation.stateDirectory });
  session.output.result(
    { operation: 'receive', ...record },
    `${record.instance} was committed here as ${record.target} at ${record.time}: it may be released on ${record.node}`,
  );
}
