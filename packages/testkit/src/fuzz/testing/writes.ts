import type { FuzzTarget } from '../target.ts';

/** Says something to the user, as a library may do. */
const target: FuzzTarget = { seeds: () => ['a'], run: () => console.warn('a warning of a library') };

export default target;
