import { setInterval as every } from 'node:timers';
import type { Sender } from '../peer/sender.ts';
import { GantryError } from '../report/errors.ts';

/** Aborts when no disk makes progress for the given time. */
export function watchStall(sender: Sender, limitSeconds: number | undefined): Disposable & { readonly signal: AbortSignal } {
  const stalled = new AbortController();
  const limitMs = 1000 * (limitSeconds ?? Infinity);
  const timer = every(
    () => {
      if (sender.stalledMs(performance.now()) <= limitMs) return;
      stalled.abort(
        new GantryError('PEER_STALLED', {
          message: `no byte of any disk has moved for ${limitSeconds} s`,
          details: sender.where(),
          hint: 'Above is what each disk waited for; a larger --stall-timeout waits longer.',
        }),
      );
    },
    Math.min(1000, limitMs / 4),
  );
  return { signal: stalled.signal, [Symbol.dispose]: () => clearInterval(timer) };
}
