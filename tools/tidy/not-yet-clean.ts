/** Directories and files that the rules do not hold for yet. The list only shrinks: a new place is clean from its first day. */
export const NOT_YET_CLEAN: readonly string[] = ['apps/cli/test', 'bench/src', 'packages/core/src/disks', 'packages/core/src/frames'];
