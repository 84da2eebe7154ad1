import type { ReceiveLimits } from '@gantry/core';
import { GantryError, moveOutcome, receiveInstance } from '@gantry/core';
import { stdioChannel } from '../stdio-channel.ts';
import type { Session } from '../session.ts';
import type { OptionValues } from '../command-line/command.ts';
import type { OS_PATH, STATE } from '../command-line/options.ts';

/** Runs `gantry receive`. */
export async function run(
  session: Session,
  _args: readonly [],
  options: OptionValues<typeof STATE & typeof OS_PATH> & {
    readonly allowInstance: readonly string[] | undefined;
    readonly allowOs: readonly string[] | undefined;
    readonly instanceDirectory: string | undefined;
    readonly allowDefine: readonly string[] | undefined;
    readonly outcome: string | undefined;
  },
): Promise<void> {
  if (options.outcome !== undefined) return showOutcome(session, options.outcome);
  const { allowInstance: instances, allowOs: osDefinitions, instanceDirectory, allowDefine: defineSources } = options;
  await receive(session, { instances, osDefinitions, instanceDirectory, defineSources });
}

/** Standard output belongs to the channel, so messages for people go to stderr. */
async function receive(session: Session, limits: ReceiveLimits): Promise<void> {
  if (session.json) {
    throw new GantryError('USAGE', {
      message: 'gantry receive takes --json only with --outcome: its standard output belongs to the source',
      hint: 'To follow a move as JSON, use gantry move --json on the source.',
    });
  }
  await using channel = stdioChannel();
  const result = await receiveInstance({
    ...session.operation,
    channel,
    cwd: session.cwd,
    limits,
    describe: session.describe,
    openSource: session.openInstances,
  });
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
