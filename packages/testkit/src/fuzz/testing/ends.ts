import type { FuzzTarget } from '../target.ts';

/** Takes everything. */
const target: FuzzTarget = { seeds: () => ['a'], run: () => undefined };

export default target;
