/** The clocks of hosts usually differ by less. */
export const MAX_CLOCK_DIFFERENCE_MS: number = 10 * 60_000;

/** Whether a time that another host wrote is later than the clocks of hosts differ. */
export function isInFuture(time: Date, now: Date = new Date()): boolean {
  return time.getTime() > now.getTime() + MAX_CLOCK_DIFFERENCE_MS;
}

/**
 * The warning for an export with a start time in the future: the clock of its host was wrong, and until that time it counts as the
 * newest of its instance. Undefined for any other export.
 */
export function describeFuture(started: Date, now: Date = new Date()): string | undefined {
  if (!isInFuture(started, now)) return undefined;
  const time = started.toISOString().replace(/\.\d+Z$/, 'Z');
  return `its start time, ${time}, is in the future: the clock of the host that made it was ahead, and until then it counts as the newest`;
}
