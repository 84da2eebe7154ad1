/** Clocks of hosts commonly differ by less. */
const MAX_CLOCK_DIFFERENCE_MS = 10 * 60_000;

/**
 * What is odd about an export that began in the future: the clock of the host that made it was ahead, and until that time comes, it passes
 * for the newest of its instance. Undefined for any other.
 */
export function describeFuture(started: Date): string | undefined {
  if (started.getTime() <= Date.now() + MAX_CLOCK_DIFFERENCE_MS) return undefined;
  const time = started.toISOString().replace(/\.\d+Z$/, 'Z');
  return `it began at ${time}, which is in the future: the clock of the host that made it was ahead, and until then it passes for the newest`;
}
