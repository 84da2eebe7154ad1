/** Where a time axis has its marks. */
export interface Ticks {
  readonly times: readonly number[];
  /** What is written at a mark, in UTC. */
  readonly label: (time: number) => string;
}

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const STEPS_MS: readonly number[] = [1, 3, 6, 12, 24, 2 * 24, 4 * 24, 7 * 24, 14 * 24].map((hours) => hours * HOUR_MS);
/** At least. */
const MONTH_MS = 28 * DAY_MS;
const MAX_MONTHS = 120;
const STEPS_MONTHS: readonly number[] = [1, 2, 3, 6, 12, 24, 60, MAX_MONTHS];

/** Marks at regular times, at most `most` and one more, as close to each other as they may be. */
export function ticksOf(range: readonly [number, number], most: number): Ticks {
  const [from, to] = range;
  const step = STEPS_MS.find((each) => (to - from) / each <= most);
  if (step !== undefined) return bySpan(range, step);
  return byMonths(range, STEPS_MONTHS.find((months) => (to - from) / (months * MONTH_MS) <= most) ?? MAX_MONTHS);
}

function bySpan([from, to]: readonly [number, number], step: number): Ticks {
  const first = Math.ceil(from / step);
  const count = Math.max(0, Math.floor(to / step) - first + 1);
  const label = (time: number): string => {
    const text = new Date(time).toISOString();
    return time % DAY_MS === 0
      ? text.slice('YYYY-'.length, 'YYYY-MM-DD'.length)
      : text.slice('YYYY-MM-DDT'.length, 'YYYY-MM-DDThh:mm'.length);
  };
  return { times: Array.from({ length: count }, (_, index) => (first + index) * step), label };
}

function byMonths([from, to]: readonly [number, number], months: number): Ticks {
  const monthOf = (time: number): number => new Date(time).getUTCFullYear() * 12 + new Date(time).getUTCMonth();
  const first = Math.floor(monthOf(from) / months);
  const count = Math.floor(monthOf(to) / months) - first + 1;
  const times = Array.from({ length: count }, (_, index) => Date.UTC(1970, (first + index) * months - 1970 * 12));
  return {
    times: times.filter((time) => time >= from && time <= to),
    label: (time) => new Date(time).toISOString().slice(0, 'YYYY-MM'.length),
  };
}
