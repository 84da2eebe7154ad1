import type { KeepWithin, VerifyBudget } from '@gantry/core';

/*
 * How options and the configuration write sizes, rates, durations and times of day. This module loads nothing, so that help stays fast.
 */

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 1024, M: 1024 ** 2, G: 1024 ** 3, T: 1024 ** 4 };

/** Bytes of a size such as `500M` or `20GiB`; undefined for another text, and for more than a number can count. */
export function parseBytes(value: string): number | undefined {
  const [, digits = '', unit = ''] = /^(\d{1,9})(?:([KMGT])(?:iB)?)?$/i.exec(value) ?? [];
  const bytes = Number(digits) * (UNITS[unit.toUpperCase()] ?? 0);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Bytes a second of a rate such as `500K` or `20MiB`; undefined for another text. */
export function parseRate(value: string): number | undefined {
  return /t/i.test(value) ? undefined : parseBytes(value);
}

const UNITS_OF_RATES = ['', 'K', 'M', 'G'];

/** A rate of at least one byte a second as {@link parseRate} reads it: in the smallest unit that can say it, rounded down to a whole number. */
export function formatRate(bytesPerSecond: number): string {
  const said = UNITS_OF_RATES.map((unit) => `${Math.floor(bytesPerSecond / (UNITS[unit] ?? 1))}${unit}`);
  return said.find((text) => parseRate(text) !== undefined) ?? '1';
}

/** A size such as `20GiB`, or a share from above 0 % to 100 % such as `5%`; undefined for another text. */
export function parseBudget(value: string): VerifyBudget | undefined {
  const [, percent] = /^(\d{1,3}(?:\.\d{1,3})?)%$/.exec(value) ?? [];
  if (percent !== undefined) return Number(percent) > 0 && Number(percent) <= 100 ? { percent: Number(percent) } : undefined;
  const bytes = parseBytes(value);
  return bytes === undefined ? undefined : { bytes };
}

const DURATION = /^(?:(\d{1,4})w)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?(?:(\d{1,6})min)?(?:(\d{1,7})s)?$/;
const DURATION_UNITS_MS: readonly number[] = [7 * 24 * 3_600_000, 24 * 3_600_000, 3_600_000, 60_000, 1000];

/** Milliseconds of a duration such as `26h`, `1d12h`, `90min` or `30s`; undefined for another text, and for nothing. */
export function parseDuration(value: string): number | undefined {
  const parts = DURATION.exec(value)?.slice(1);
  const milliseconds = parts?.reduce((sum, digits, index) => sum + Number(digits ?? 0) * (DURATION_UNITS_MS[index] ?? 0), 0);
  return milliseconds === 0 ? undefined : milliseconds;
}

const WITHIN = /^(?:(\d{1,4})y)?(?:(\d{1,4})m)?(?:(\d{1,5})d)?(?:(\d{1,6})h)?$/;

/** A duration in units of the calendar, such as `1y6m14d12h`; undefined for another text. */
export function parseWithin(value: string): KeepWithin | undefined {
  const [years, months, days, hours] = (WITHIN.exec(value) ?? []).slice(1).map((digits) => Number(digits ?? 0));
  if (value === '' || years === undefined || months === undefined || days === undefined || hours === undefined) return undefined;
  return { years, months, days, hours };
}

/** How many of something retention keeps: a whole number of 1 or more, or `unlimited`; undefined for another text. */
export function parseKeepCount(value: string): number | undefined {
  if (value === 'unlimited') return Infinity;
  return /^\d{1,9}$/.test(value) && Number(value) > 0 ? Number(value) : undefined;
}

/** A part of each day, by the host's clock and time zone; minutes since midnight. It passes midnight if `to` is not after `from`. */
export interface TimeOfDayRange {
  readonly from: number;
  readonly to: number;
}

/** A part of each day such as `22:00-06:00`; undefined for another text. */
export function parseTimeOfDayRange(value: string): TimeOfDayRange | undefined {
  const times = /^(\d{2}):(\d{2})-(\d{2}):(\d{2})$/.exec(value)?.slice(1).map(Number);
  if (times === undefined) return undefined;
  const [fromHour = 0, fromMinute = 0, toHour = 0, toMinute = 0] = times;
  if (fromHour > 23 || toHour > 24 || fromMinute > 59 || toMinute > 59 || (toHour === 24 && toMinute > 0)) return undefined;
  const range = { from: fromHour * 60 + fromMinute, to: (toHour * 60 + toMinute) % (24 * 60) };
  return range.from === range.to ? undefined : range;
}
