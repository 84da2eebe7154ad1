import type { DescribedInstance, LiveRequest, SnapshotConfig, Stillness } from '@gantry/core';
import { GantryError } from '@gantry/core';
import { askUser, hasUser } from '../consent.ts';
import type { Session } from '../session.ts';

interface LiveOptions {
  readonly liveRounds: number | undefined;
  readonly resume: true | undefined;
  readonly stopSource: true | undefined;
}

/** Whether to move in rounds, and how the disks become still for the last one. @throws GantryError `USAGE` */
export function liveChoiceOf(
  session: Session,
  { liveRounds: rounds, resume, stopSource }: LiveOptions,
  described: DescribedInstance,
  config: SnapshotConfig | undefined,
): LiveRequest | undefined {
  if (rounds !== undefined)
    return { rounds, resume, stillness: stopSource === true ? { kind: 'shutdown' } : stillnessOf(session, described, config) };
  if (resume === undefined) return undefined;
  throw new GantryError('USAGE', {
    message: '--resume needs --live-rounds',
    hint: 'Add --live-rounds 1 to send what differs in one round.',
  });
}

function stillnessOf(session: Session, { run, guest, instance }: DescribedInstance, config: SnapshotConfig | undefined): Stillness {
  if (run.state === 'stopped') return { kind: 'stopped' };
  if (config?.pause !== undefined || guest !== undefined) return { kind: 'paused' };
  if (hasUser(session))
    return { kind: 'ask', ask: (signal) => askUser(session, `Stop ${instance.name} now for the last round. Is it stopped?`, signal) };
  throw new GantryError('USAGE', {
    message: `nothing would stop ${instance.name} for the last round of --live-rounds`,
    hint: 'Add --stop-source, give the commands pause and resume in --snapshot-config, or run the move on a terminal, where it asks you to stop it.',
  });
}
