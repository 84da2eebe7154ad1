import type { Rate } from '@gantry/transport';

/** A rate that is never higher than another one, also where it changes with the time. @param rate absent: without a limit of its own */
export function cappedRate(rate: Rate | undefined, most: number | undefined): Rate | undefined {
  if (rate === undefined || most === undefined) return rate ?? most;
  return typeof rate === 'number' ? Math.min(rate, most) : () => Math.min(rate(), most);
}
