import type { ReceiveLimits } from '@gantry/core';
import { GantryError, moveOutcome, receiveInstance } from '@gantry/core';
import { stdioChannel } from '../stdio-channel.ts';
import type { CommandModule } from '../command-line/command.ts';
import { defineCommand } from '../command-line/command.ts';
import { OS_PATH, STATE, text, texts } from '../command-line/options.ts';
import type { Session } from '../session.ts';

const command: CommandModule = defineCommand({
  description:
    'Receive an instance from gantry move on another machine, through standard input and output. It is started by gantry move, or as a forced command in authorized_keys.',
  arguments: [],
  options: {
    ...STATE,
    ...OS_PATH,
    allowInstance: texts('--allow-instance <pattern>', 'allow only instances whose name here matches; * matches any text'),
    allowOs: texts('--allow-os <name>', 'allow only this OS definition'),
    instanceDirectory: text('--instance-directory <directory>', 'allow only instance files in this directory; --to is relative to it'),
    outcome: text('--outcome <move-id>', 'only show whether this move was committed here'),
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

/** Standard output belongs to the channel, so messages for people go to stderr. */
async function receive(session: Session, limits: ReceiveLimits): Promise<void> {
  if (session.json) {
    throw new GantryError('USAGE', {
      message: 'gantry receive takes --json only with --outcome: its standard output belongs to the source',
      hint: 'To follow a move as JSON, use gantry move --json on the source.',
    });
  }
  await using channel = stdioChannel();
  const result = await receiveInstance({ ...session.operation, channel, cwd: session.cwd, limits, describe: session.describe });
  if (result.dryRun) session.output.note(`dry run for ${result.instance}: nothing was received`);
  else session.output.note(`received and committed ${result.instance} (move ${result.moveId})`);
}

async function showOutcome(session: Session, moveId: string): Promise<void> {
  const record = await moveOutcome(moveId, { stateDirectory: session.operation.stateDirectory });
  session.output.result(
    { operation: 'receive', ...record },
    `${record.instance} was committed here as ${record.target} at ${record.time}: the copy on ${record.node} can be removed`,
  );
}
