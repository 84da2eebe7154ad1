import type { OwnerState } from '@gantry/transport';
import { isRunning, ownerOf, thisProcess } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { StateDirectory } from '../runs/state-directory.ts';
import { openStateDirectory } from '../runs/state-directory.ts';
import type { MoveRecord } from './move-record.ts';
import { createMoveRecord, readMoveRecord, replaceMoveRecord, sweepMoveRecords, syncMoveRecord } from './move-record.ts';

/** The receiver's record of its current move. */
export class MoveLedger {
  readonly #state: StateDirectory;
  #record: MoveRecord;
  /** A reader may find the record committed, although that is not durable. */
  #mayBeCommitted = false;

  private constructor(state: StateDirectory, record: MoveRecord) {
    this.#state = state;
    this.#record = record;
  }

  /** @throws GantryError `STATE_UNUSABLE`; `BUSY` if there is a record of this move already */
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
      message: `the move ${moveId} was already received here`,
      hint: 'Start the move again: it then gets a new id.',
    });
  }

  get moveId(): string {
    return this.#record.moveId;
  }

  /** Whether a reader may find it committed. */
  get mayBeCommitted(): boolean {
    return this.#mayBeCommitted;
  }

  /** The commit is on disk when this resolves; nobody may rely on it before. @throws GantryError `STATE_UNUSABLE` */
  async commit(disks: MoveRecord['disks']): Promise<void> {
    await this.#write({ ...this.#record, disks, state: 'committed', time: now() }, () => (this.#mayBeCommitted = true));
  }

  /**
   * Never rejects: an open record counts as failed once this process is gone.
   *
   * @returns whether the move has certainly failed; false if a commit can already be read and could not be taken back
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
 * The outcome of a move that was received on this machine.
 *
 * @returns the record of a move that was committed; it is durable
 * @throws GantryError `MOVE_NOT_COMMITTED`, `MOVE_NOT_FOUND`, `BUSY` while the receiver is running, `STATE_UNUSABLE`
 */
export async function moveOutcome(moveId: string, options: { readonly stateDirectory?: string | undefined } = {}): Promise<MoveRecord> {
  const state = await openStateDirectory(options.stateDirectory);
  const { record, receiver } = /^[0-9a-f]{32}$/.test(moveId) ? await readOutcome(state, moveId) : {};
  if (record === undefined) {
    throw new GantryError('MOVE_NOT_FOUND', {
      message: `no move ${moveId} was received here`,
      hint: `Check the id, and that the receiver used this state directory: ${state.path}. A move that never arrived was not committed.`,
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
    hint: 'The instance is still on the source; its disks here are not valid.',
  });
}

interface Outcome {
  readonly record?: MoveRecord | undefined;
  /** State of the receiver, if the record is open. */
  readonly receiver?: OwnerState | undefined;
}

/** The receiver may have committed and ended after the record was read: if it is gone, the record is read again. */
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
    hint: where === '' ? 'Ask again when it has ended.' : 'Ask there: it cannot be seen from here whether that process is running.',
  });
}
