import type { Policy } from '@gantry/config';

type Window = NonNullable<Policy['window']>;

/** One occurrence of a window. */
export interface Occurrence {
  readonly begin: Date;
  readonly end: Date;
}

/** The occurrence of a window in which `now` is, by the host's clock and time zone; undefined outside of it. */
export function occurrenceAt(window: Pick<Window, 'from' | 'to'>, now: Date): Occurrence | undefined {
  // One that passes midnight may have started yesterday.
  return [0, -1].map((day) => occurrenceOn(window, now, day)).find(({ begin, end }) => begin <= now && now < end);
}

/**
 * The occurrences of a window that have ended, newest first: of as many days, at most.
 *
 * @param days how far back
 */
export function endedOccurrences(window: Pick<Window, 'from' | 'to'>, now: Date, days: number): readonly Occurrence[] {
  return Array.from({ length: days + 1 }, (_, day) => occurrenceOn(window, now, -day)).filter(({ end }) => end <= now);
}

/** The time between two occurrences of a window, in which what follows exports may begin. */
interface Aftermath extends Occurrence {
  /** The occurrence that had ended when it began. */
  readonly of: Occurrence;
}

/** A window that leaves less of the day is one for what follows, too, ms. */
const MIN_AFTERMATH_MS = 3_600_000;

/**
 * The times after the occurrences of a window that have ended, newest first: of as many days, at most.
 *
 * @param days how far back
 */
export function aftermaths(window: Pick<Window, 'from' | 'to'>, now: Date, days: number): readonly Aftermath[] {
  const all = Array.from({ length: days + 3 }, (_, index) => occurrenceOn(window, now, 1 - index));
  return all.flatMap((of, index) => {
    const next = all[index - 1];
    if (next === undefined || of.end > now) return [];
    const isLong = next.begin.getTime() - of.end.getTime() >= MIN_AFTERMATH_MS;
    return [{ of, begin: of.end, end: isLong ? next.begin : next.end }];
  });
}

/**
 * On a day on which the clock is set forward, a window that begins at a time which the clock skips begins with the jump, and one that is
 * skipped as a whole is as long as on other days. Where the clock shows a time twice, it begins with the first and ends with the second.
 */
function occurrenceOn({ from, to }: Pick<Window, 'from' | 'to'>, now: Date, day: number): Occurrence {
  const begin = skippedTo(timeOn(now, day, from), from);
  const end = secondOf(timeOn(now, to > from ? day : day + 1, to));
  const isSkipped = end <= begin;
  return { begin, end: isSkipped ? new Date(begin.getTime() + (to - from) * MINUTE_MS) : end };
}

const MINUTE_MS = 60_000;
/** No clock is set by more than that, minutes. */
const MAX_JUMP_MINUTES = 3 * 60;

/** A time that the clock skips is taken for one after the jump, as far behind it as the time is behind the jump's begin. */
function timeOn(now: Date, day: number, minutes: number): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + day, Math.floor(minutes / 60), minutes % 60);
}

/** When the clock jumped over the time of day that was asked for; `time` itself if it did not. */
function skippedTo(time: Date, minutes: number): Date {
  if (minutesOf(time) === minutes) return time;
  let jump = time;
  for (let back = 1; back <= MAX_JUMP_MINUTES; back += 1) {
    const before = minutesLater(time, -back);
    if (before.getTimezoneOffset() !== time.getTimezoneOffset()) return jump;
    jump = before;
  }
  return time;
}

/** The second time that the clock shows the same, if it is set back after the first one. */
function secondOf(time: Date): Date {
  const setBackMinutes = minutesLater(time, MAX_JUMP_MINUTES).getTimezoneOffset() - time.getTimezoneOffset();
  const second = minutesLater(time, setBackMinutes);
  return setBackMinutes > 0 && minutesOf(second) === minutesOf(time) ? second : time;
}

function minutesOf(time: Date): number {
  return time.getHours() * 60 + time.getMinutes();
}

function minutesLater(time: Date, minutes: number): Date {
  return new Date(time.getTime() + minutes * MINUTE_MS);
}

/** `22:00-06:00` */
export function formatWindow({ from, to }: Pick<Window, 'from' | 'to'>): string {
  return `${formatTime(from)}-${formatTime(to)}`;
}

function formatTime(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}
