import { GantryError, moveOutcome, receiveInstance } from '@gantry/core';
import type { CommonOptions, Session } from '../session.ts';
import { stdioChannel } from '../stdio-channel.ts';

export interface ReceiveOptions extends CommonOptions {
  readonly json?: boolean;
  readonly outcome?: string;
  readonly allowInstance?: readonly string[];
  readonly allowOs?: readonly string[];
  readonly instanceDirectory?: string;
}

export async function receive(session: Session, _args: readonly string[], options: ReceiveOptions): Promise<void> {
  if (options.outcome === undefined && options.json === true) {
    throw new GantryError('USAGE', {
      message: 'gantry receive has no --json but for --outcome: standard output belongs to the source',
      hint: 'The source tells what happens here: gantry move --json.',
    });
  }
  if (options.outcome === undefined) await takeIn(session, options);
  else await tellOutcome(session, options.outcome);
}

/** Standard output is the channel's: whatever is for humans goes to stderr. */
async function takeIn(session: Session, options: ReceiveOptions): Promise<void> {
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
