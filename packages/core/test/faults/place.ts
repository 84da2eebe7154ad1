import type { Store } from '@gantry/transport';
import type { Call, FaultPoint, Faults } from './faults.ts';

/** Where the stores of a harness are, and how faults come into them. */
export interface Medium extends AsyncDisposable {
  readonly name: string;
  /** An empty place for a store. */
  place(): Promise<Place>;
  /** Every fault that there can be in a run with these calls. */
  points(calls: readonly Call[]): readonly FaultPoint[];
  /** Two runs of an operation make other calls: some of the points may never be reached. */
  readonly isGuess?: boolean;
}

/** One store and what is in it. */
export interface Place extends AsyncDisposable {
  /** Another place with the same content. */
  copy(): Promise<Place>;
  /** The store for a process in which nothing fails. */
  open(): Promise<Store>;
  /** The store for a process that has a fault. Disposing it is the end of that process. */
  openFaulted(faults: Faults): Promise<Store>;
  /** The processes that had it open have ended: their unfinished writes have no owner any more. */
  end(): Promise<void>;
  /** What is there, by key; the same value for the same, untouched content. */
  contents(): Promise<ReadonlyMap<string, unknown>>;
}
