import type { DiskStates, TargetDiskState } from './messages.ts';

const WORDS: Readonly<Record<TargetDiskState, string>> = {
  untouched: 'untouched',
  partial: 'written in part: it holds neither its old nor its new contents',
  complete: 'complete, but the move was not committed',
  committed: 'committed',
};

/** The states of the target's disks, reported when a move fails. */
export class TargetDisks {
  readonly #states = new Map<number, TargetDiskState>();

  constructor(disks: readonly number[]) {
    for (const disk of disks) this.#states.set(disk, 'untouched');
  }

  get states(): DiskStates {
    return [...this.#states].map(([disk, state]) => ({ disk, state }));
  }

  get touched(): boolean {
    return [...this.#states.values()].some((state) => state !== 'untouched');
  }

  set(disk: number, state: TargetDiskState): void {
    if (this.#states.has(disk)) this.#states.set(disk, state);
  }

  setAll(state: TargetDiskState): void {
    for (const disk of this.#states.keys()) this.#states.set(disk, state);
  }

  /** Takes over the states from the receiver. */
  learn(states: DiskStates): void {
    for (const { disk, state } of states) this.set(disk, state);
  }

  /** Reports the state of each disk as a warning. */
  report(warn: (message: string, disk: number) => void, where: string): void {
    for (const [disk, state] of this.#states) warn(`${where}: ${WORDS[state]}`, disk);
  }
}
