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

function occurrenceOn({ from, to }: Pick<Window, 'from' | 'to'>, now: Date, day: number): Occurrence {
  return { begin: timeOn(now, day, from), end: timeOn(now, to > from ? day : day + 1, to) };
}

/** The clock of the host counts, also on days on which it is changed. */
function timeOn(now: Date, day: number, minutes: number): Date {
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + day, Math.floor(minutes / 60), minutes % 60);
}

/** `22:00-06:00` */
export function formatWindow({ from, to }: Pick<Window, 'from' | 'to'>): string {
  return `${formatTime(from)}-${formatTime(to)}`;
}

function formatTime(minutes: number): string {
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`;
}
