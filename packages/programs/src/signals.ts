import { constants } from 'node:os';
import process from 'node:process';

/** The abort reason when the user or the system sends a signal. */
export class InterruptedError extends Error {
  override readonly name = 'InterruptedError';
  readonly signalName: NodeJS.Signals;

  constructor(signalName: NodeJS.Signals) {
    super(`interrupted by ${signalName}`);
    this.signalName = signalName;
  }

  /** As in a shell: 128 plus the signal's number. */
  get exitCode(): number {
    return 128 + constants.signals[this.signalName];
  }
}

const CAUGHT = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/** How many signals it takes to exit without cleaning up; the next run then cleans up. */
const SIGNALS_TO_EXIT_AT_ONCE = 3;

export interface CaughtSignals {
  /** Aborted by the first signal that comes before the work is done. */
  readonly signal: AbortSignal;
  /** To be called when the work is done or has failed: after that, a signal ends the process with its current exit code. */
  readonly finish: () => void;
}

/**
 * Turns signals into one abort. The first cancels the operation, which cleans up; the third exits at once. They stay caught until the
 * process ends: a command whose work is done must not be killed while it writes its result, as if it had failed.
 */
export function catchSignals(note: (message: string) => void): CaughtSignals {
  const controller = new AbortController();
  let count = 0;
  let finished = false;

  const onSignal = (name: NodeJS.Signals): void => {
    count += 1;
    if (finished) process.exit();
    const reason = new InterruptedError(name);
    if (count >= SIGNALS_TO_EXIT_AT_ONCE) process.exit(reason.exitCode);
    if (count > 1) note('still cleaning up; another signal exits at once, and the next run cleans up');
    else note(`${name}: stopping and cleaning up`);
    controller.abort(reason);
  };

  for (const name of CAUGHT) process.on(name, onSignal);
  return {
    signal: controller.signal,
    finish: () => {
      finished = true;
    },
  };
}
