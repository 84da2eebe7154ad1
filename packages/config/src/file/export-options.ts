import type { ExportRequest } from '@gantry/core';
import type { ExportSettings } from './model.ts';

/** What settings ask of an export, wherever its disks are. What is said for many instances applies where it is possible. */
export function exportOptions({
  codec,
  level,
  parallel,
  incremental,
  patches,
  fullEvery,
  withPrivate: includePrivate,
  signKey,
}: ExportSettings): Pick<
  ExportRequest,
  'codec' | 'level' | 'parallel' | 'incremental' | 'patches' | 'fullEvery' | 'includePrivate' | 'signKey'
> {
  return { codec, level, parallel, incremental, patches, fullEvery: incremental === true ? fullEvery : undefined, includePrivate, signKey };
}
