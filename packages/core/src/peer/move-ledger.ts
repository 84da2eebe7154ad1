import type { OwnerState } from '@gantry/transport';
import { isRunning, ownerOf, thisProcess } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { StateDirectory } from '../runs/state-directory.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { MoveRecord } from './move-record.ts';
import { createMoveRecord, readMoveRecord, replaceMoveRecord, sweepMoveRecords, syncMoveRecord } from './move-record.ts';

/** The receiver's record of the move that it is at. */
export class MoveLedger {
  readonly #state: StateDirectory;
  #record: MoveRecord;
  /** Whoever reads may find that it was committed, although that is not durable. */
  #mayBeCommitted = false;

  private constructor(state: StateDirectory, record: MoveRecord) {
    this.#state = state;
    this.#record = record;
  }

  /** @throws GantryError `STATE_UNUSABLE`; `BUSY` where the move has been here before */
  static async open(
    stateDirectory: string | undefined,
    { moveId, instance, node }: Pick<MoveRecord, 'moveId' | 'instance' | 'node'>,
    { target, disks }: Pick<MoveRecord, 'target' | 'disks'>,
  ): Promise<MoveLedger> {
    const state = await openStateDirectory(stateDirectory);
    await sweepMoveRecords(state);
    const record: MoveRecord = { moveId, instance, target, node, receiver: await thisProcess(), disks, time: now(), state: 'open' };
    if (await createMoveRecord(state, record)) return new MoveLedger(state, record);
    throw new GantryError('BUSY', {
      message: `there is a record of the move ${moveId} already`,
      hint: 'Move again: each move has its own id.',
    });
  }

  get moveId(): string {
    return this.#record.moveId;
  }

  /** On disk when this resolves; until then nobody may be told. @throws GantryError `STATE_UNUSABLE` */
  async commit(disks: MoveRecord['disks']): Promise<void> {
    await this.#write({ ...this.#record, disks, state: 'committed', time: now() }, () => (this.#mayBeCommitted = true));
  }

  /**
   * Never rejects: what stays open is taken for failed once this process is gone.
   *
   * @returns whether the move has certainly failed. It has not where a commit got so far that it can be read, and could not be taken back.
   */
  async fail(reason: string, disks: MoveRecord['disks']): Promise<boolean> {
    if (this.#record.state !== 'open') return true;
    try {
      await this.#write({ ...this.#record, disks, reason, state: 'failed', time: now() });
      return true;
    } catch {
      return !this.#mayBeCommitted;
    }
  }

  async #write(record: MoveRecord, onPlaced?: () => void): Promise<void> {
    await replaceMoveRecord(this.#state, record, onPlaced);
    this.#record = record;
  }
}

function now(): string {
  return new Date().toISOString();
}

/**
 * What came of a move that was received on this machine.
 *
 * @returns the record of a move that was committed; it is durable
 * @throws GantryError `MOVE_NOT_COMMITTED`, `MOVE_NOT_FOUND`, `BUSY` while the receiver is still at it, `STATE_UNUSABLE`
 */
export async function moveOutcome(moveId: string, options: { readonly stateDirectory?: string | undefined } = {}): Promise<MoveRecord> {
  const state = await openStateDirectory(options.stateDirectory);
  const { record, receiver } = /^[0-9a-f]{32}$/.test(moveId) ? await readOutcome(state, moveId) : {};
  if (record === undefined) {
    throw new GantryError('MOVE_NOT_FOUND', {
      message: `no move ${moveId} was received here`,
      hint: `Look at the id and at the state directory, ${state.path}. A move that never got here was not committed.`,
    });
  }
  if (record.state === 'committed') {
    await syncMoveRecord(state, moveId);
    return record;
  }
  if (record.state === 'open' && receiver !== 'dead') throw undecidedError(record, receiver);
  throw new GantryError('MOVE_NOT_COMMITTED', {
    message: `the move of ${record.instance} into ${record.target} was not committed${record.reason === undefined ? '' : ` (${record.reason})`}`,
    details: record.disks.map(({ disk, state }) => `disk ${disk}: ${state}`),
    hint: 'The instance is where it was, on the source. Its disks here do not count.',
  });
}

interface Outcome {
  readonly record?: MoveRecord | undefined;
  /** What became of the receiver, where the record is open. */
  readonly receiver?: OwnerState | undefined;
}

/** A receiver that is gone may have committed, and ended, between a look at the record and one at the process: its last word counts. */
async function readOutcome(state: StateDirectory, moveId: string): Promise<Outcome> {
  const record = await readMoveRecord(state, moveId);
  if (record?.state !== 'open') return { record };
  const receiver = await receiverState(record);
  return { record: receiver === 'dead' ? await readMoveRecord(state, moveId) : record, receiver };
}

async function receiverState({ receiver }: MoveRecord): Promise<OwnerState> {
  if ('host' in receiver) return ownerOf(receiver);
  return (await isRunning(receiver)) ? 'alive' : 'dead';
}

function undecidedError({ moveId, receiver }: MoveRecord, state: OwnerState | undefined): GantryError {
  const where = state === 'unknown' && 'host' in receiver ? `, on ${receiver.host} or in another container` : '';
  return new GantryError('BUSY', {
    message: `the move ${moveId} is not decided yet: its receiver is process ${receiver.pid}${where}`,
    hint: where === '' ? 'Ask again when it has ended.' : 'Ask there: from here it cannot be seen whether that process runs.',
  });
}
