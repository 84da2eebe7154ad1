import { randomUUID } from 'node:crypto';
import type { Store } from '@gantry/transport';
import type { ClaimRequest } from '../exports/claim.ts';
import type { CopyId } from '../exports/copy-place.ts';
import type { Manifest } from '../exports/manifest.ts';
import type { Signers } from '../exports/signature.ts';
import type { Reporter } from '../report/reporter.ts';
import { TOOL } from '../report/version.ts';

/** From which store to which one. */
export interface CopyWay {
  readonly source: Store;
  readonly target: Store;
  readonly reporter: Reporter;
  readonly signal: AbortSignal;
  /**
   * Whether packs of an instance may come along with exports of others that need them: a source must not choose whose places at the target
   * are taken.
   */
  readonly bringsOf: (instance: string) => boolean;
  /** Whose signatures are good at the target. */
  readonly targetSigners?: Signers | undefined;
  /** Disks under way at once; default 4. */
  readonly parallel?: number | undefined;
}

/** What became of one export. */
export interface CopyOutcome {
  /** `present`: the target had it already. */
  readonly outcome: 'copied' | 'present';
  /** Of dumps and other large objects, sent in this run. */
  readonly sentBytes: number;
}

/** The id of an export in both stores. */
export function copyIdOf({ instance, exportId }: Manifest): CopyId {
  return { instance: instance.name, id: exportId };
}

/** How the copy of an export is claimed. @param dumps the names of its large objects */
export function claimRequest(manifest: Manifest, dumps: readonly string[]): ClaimRequest & CopyId {
  return { ...copyIdOf(manifest), started: new Date(), runId: `gantry-copy-${randomUUID()}`, tool: TOOL, dumps };
}
