import { identifyProcess, isRunning } from '@gantry/transport';
import { GantryError } from '../report/errors.ts';
import type { MoveRecord } from './move-record.ts';
import { readMoveRecord, removeOldMoveRecords, writeMoveRecord } from './move-record.ts';
import type { StateDirectory } from '../runs/state-directory.ts';
import { openStateDirectory } from '../runs/state-directory.ts';

/** The receiver's record of the move that it is at. */
export class MoveLedger {
  readonly #state: StateDirectory;
  #record: MoveRecord;

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
    await removeOldMoveRecords(state);
    const receiver = await identifyProcess(process.pid);
    if (receiver === undefined || (await readMoveRecord(state, moveId)) !== undefined) {
      throw new GantryError('BUSY', {
        message: `there is a record of the move ${moveId} already`,
        hint: 'Move again: each move has its own id.',
      });
    }
    const ledger = new MoveLedger(state, { moveId, instance, target, node, receiver, disks, time: now(), state: 'open' });
    await writeMoveRecord(state, ledger.#record);
    return ledger;
  }

  get committed(): boolean {
    return this.#record.state === 'committed';
  }

  /** On disk when this resolves. @throws GantryError `STATE_UNUSABLE` */
  async commit(disks: MoveRecord['disks']): Promise<void> {
    await this.#write({ ...this.#record, disks, state: 'committed', time: now() });
  }

  /** Never rejects: what stays open is taken for failed once this process is gone. */
  async fail(reason: string, disks: MoveRecord['disks']): Promise<void> {
    if (this.#record.state !== 'open') return;
    await this.#write({ ...this.#record, disks, reason, state: 'failed', time: now() }).catch(() => undefined);
  }

  async #write(record: MoveRecord): Promise<void> {
    await writeMoveRecord(this.#state, record);
    this.#record = record;
  }
}

function now(): string {
  return new Date().toISOString();
}

/**
 * What came of a move that was received on this machine.
 *
 * @returns the record of a move that was committed
 * @throws GantryError `MOVE_NOT_COMMITTED`, `MOVE_NOT_FOUND`, `BUSY` while the receiver is still at it, `STATE_UNUSABLE`
 */
export async function moveOutcome(moveId: string, options: { readonly stateDirectory?: string | undefined } = {}): Promise<MoveRecord> {
  const state = await openStateDirectory(options.stateDirectory);
  const record = /^[0-9a-f]{32}$/.test(moveId) ? await readMoveRecord(state, moveId) : undefined;
  if (record === undefined) {
    throw new GantryError('MOVE_NOT_FOUND', {
      message: `no move ${moveId} was received here`,
      hint: `Look at the id and at the state directory, ${state.path}. A move that never got here was not committed.`,
    });
  }
  if (record.state === 'committed') return record;
  if (record.state === 'open' && (await isRunning(record.receiver))) {
    throw new GantryError('BUSY', {
      message: `the move ${moveId} is not decided yet: its receiver is process ${record.receiver.pid}`,
      hint: 'Ask again when it has ended.',
    });
  }
  throw new GantryError('MOVE_NOT_COMMITTED', {
    message: `the move of ${record.instance} into ${record.target} was not committed${record.reason === undefined ? '' : ` (${record.reason})`}`,
    details: record.disks.map(({ disk, state }) => `disk ${disk}: ${state}`),
    hint: 'The instance is where it was, on the source. Its disks here do not count.',
  });
}
