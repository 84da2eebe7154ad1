/** The clocks of hosts usually differ by less. */
export const MAX_CLOCK_DIFFERENCE_MS: number = 10 * 60_000;

/**
 * The warning for an export with a start time in the future: the clock of its host was wrong, and until that time it counts as the
 * newest of its instance. Undefined for any other export.
 */
export function describeFuture(started: Date, now: Date = new Date()): string | undefined {
  if (started.getTime() <= now.getTime() + MAX_CLOCK_DIFFERENCE_MS) return undefined;
  const time = started.toISOString().replace(/\.\d+Z$/, 'Z');
  return `its start time, ${time}, is in the future: the clock of the host that made it was ahead, and until then it counts as the newest`;
}
