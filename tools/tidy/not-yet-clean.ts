/** Directories and files that the rules do not hold for yet. The list only shrinks: a new place is clean from its first day. */
export const NOT_YET_CLEAN: readonly string[] = [
  'apps/cli/test',
  'bench/src',
  'packages/core/src/disks',
  'packages/core/src/exports/manifest.ts',
  'packages/core/src/exports/open-export.ts',
  'packages/core/src/exports/store-sink.ts',
  'packages/core/src/frames',
  'packages/core/src/scripts/export-script.ts',
  'packages/core/src/scripts/write-stdin.ts',
  'packages/core/src/system/pipe-writer.ts',
];
