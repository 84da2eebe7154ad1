import { constants } from 'node:os';
import process from 'node:process';

/** The reason with which everything ends when the user or the system sends a signal. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`interrupted by ${signalName}`);
    this.signalName = signalName;
  }

  /** As a shell counts: 128 and the signal's number. */
  get exitCode(): number {
    return 128 + constants.signals[this.signalName];
  }
}

const CAUGHT = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How many signals it takes to leave without cleaning up; the next run then clears what is left. */
const SIGNALS_TO_LEAVE_AT_ONCE = 3;

/** Turns signals into one abort. The first ends the operation in good order; the third leaves at once. */
export function catchSignals(note: (message: string) => void): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  let count = 0;

  const onSignal = (name: NodeJS.Signals): void => {
    count += 1;
    const reason = new InterruptedError(name);
    if (count >= SIGNALS_TO_LEAVE_AT_ONCE) process.exit(reason.exitCode);
    if (count > 1) note('still cleaning up; once more leaves at once, and the next run clears what is left');
    else note(`${name}: ending scripts and cleaning up`);
    controller.abort(reason);
  };

  for (const name of CAUGHT) process.on(name, onSignal);
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of CAUGHT) process.off(name, onSignal);
    },
  };
}
