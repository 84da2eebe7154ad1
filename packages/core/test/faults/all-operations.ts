import { BROUGHT_OPERATIONS } from './brought-operations.ts';
import { LOCAL_OPERATIONS } from './local-operations.ts';
import type { Operation } from './operations.ts';
import { OPERATIONS } from './operations.ts';

/** Every operation with stores. */
export const ALL_OPERATIONS: readonly Operation[] = [...OPERATIONS, ...BROUGHT_OPERATIONS, ...LOCAL_OPERATIONS];
