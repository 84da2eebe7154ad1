import type { RateLimit } from './file/model.ts';
import type { TimeOfDayRange } from './quantities.ts';

/** Whether a time, as the clock of this host shows it, is in a part of the day. The minute at which it ends is not. */
export function isWithin({ from, to }: TimeOfDayRange, time: Date): boolean {
  const minute = time.getHours() * 60 + time.getMinutes();
  return from < to ? from <= minute && minute < to : from <= minute || minute < to;
}

/** The rate that a limit means at a time; bytes a second, `Infinity` for none. */
export function rateAt({ bytesPerSecond, at }: RateLimit, time: Date): number {
  const part = at.find(({ range }) => isWithin(range, time));
  return (part === undefined ? bytesPerSecond : part.bytesPerSecond) ?? Infinity;
}
