import { FRAME_MAP_VERSION } from '../exports/frame-map-text.ts';
import { FRAME_TABLE_VERSION } from '../exports/frame-tables.ts';
import { LINEAGE_MANIFEST_VERSION, MANIFEST_VERSION, MANIFEST_VERSIONS } from '../exports/manifest.ts';
import { STORE_FORMAT_VERSION } from '../exports/store-marker.ts';
import { VERIFICATIONS_VERSION } from '../exports/verification.ts';
import { PIPE_VERSION } from '../peer/messages.ts';

/** Which versions of a format are read and written. */
export interface FormatVersions {
  readonly format: string;
  readonly reads: readonly number[];
  readonly writes: readonly number[];
}

/** The formats of `docs/reference/formats` that have versions of their own. */
export const FORMAT_VERSIONS: readonly FormatVersions[] = [
  oneVersion('store', STORE_FORMAT_VERSION),
  { format: 'manifest', reads: MANIFEST_VERSIONS, writes: [MANIFEST_VERSION, LINEAGE_MANIFEST_VERSION] },
  oneVersion('frame table', FRAME_TABLE_VERSION),
  oneVersion('frame map', FRAME_MAP_VERSION),
  oneVersion('verifications', VERIFICATIONS_VERSION),
];

/** The version of the protocol between the two sides of a move: both need the same. */
export const PROTOCOL_VERSION: number = PIPE_VERSION;

function oneVersion(format: string, version: number): FormatVersions {
  return { format, reads: [version], writes: [version] };
}
