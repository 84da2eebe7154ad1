/**
 * How long a test waits for something that happens at once on an idle machine, for vitest's `expect.poll` and `vi.waitFor`, ms. Long enough
 * for a machine with ten times the load that it can handle; a hang still ends.
 */
export const PATIENTLY: { readonly timeout: number } = { timeout: 90_000 };
