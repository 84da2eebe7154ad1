/**
 * How long a test waits for something that comes at once on a quiet machine, for vitest's `expect.poll` and `vi.waitFor`, ms. Long enough for a
 * machine with ten times the work that it can do; a hang still ends.
 */
export const PATIENTLY: { readonly timeout: number } = { timeout: 90_000 };
