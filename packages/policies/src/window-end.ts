import { asFirstError } from '@gantry/core';

/** Two ways in which an export can be cancelled. */
export interface Signals {
  /** Of the run as a whole. */
  readonly run: AbortSignal;
  /** Also that of the end of the window. */
  readonly work: AbortSignal;
}

/** The reason with which what runs at the end of a window is cancelled. */
export class WindowEnded extends Error {
  override readonly name = 'WindowEnded';

  constructor() {
    super('the window of the policy has ended');
  }
}

/** Whether something was cancelled by the end of the window, and did not fail. */
export function isWindowEnd(error: unknown): boolean {
  return asFirstError(error) instanceof WindowEnded;
}

/** A signal that is aborted at the end of a window; never, if there is none. */
export function abortAt(end: Date | undefined): Disposable & { readonly signal: AbortSignal } {
  const controller = new AbortController();
  const timer = end === undefined ? undefined : setTimeout(() => controller.abort(new WindowEnded()), end.getTime() - Date.now());
  return { signal: controller.signal, [Symbol.dispose]: () => clearTimeout(timer) };
}
