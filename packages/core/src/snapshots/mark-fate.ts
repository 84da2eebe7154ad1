import { z } from 'zod';

/**
 * Which marks stay when snapshots are dropped: those before them, so that it is as if they had not been taken; their own, of which the
 * next goes on; or none of both.
 */
export type MarksKept = (typeof MARKS_KEPT)[number];

export const MARKS_KEPT: readonly ['earlier', 'latest', 'none'] = ['earlier', 'latest', 'none'];

/** In records of providers that keep the snapshot itself as its mark. */
export interface MarkFate {
  /** The snapshot that is the earlier mark, if there is one. */
  readonly since?: string | undefined;
  readonly kept: MarksKept;
}

/** @param name what a snapshot of Gantry may be called: nothing else is ever removed */
export function markFateSchema(name: z.ZodType<string>): z.ZodType<MarkFate> {
  return z.object({ since: name.optional(), kept: z.enum(MARKS_KEPT) });
}

/** Which snapshots go with the one of the name `own`. */
export function snapshotsToRemove(own: string, fate: MarkFate | undefined): readonly string[] {
  const [isOwnKept, isSinceKept] = [fate?.kept === 'latest', (fate?.kept ?? 'earlier') === 'earlier'];
  return [...(isOwnKept ? [] : [own]), ...(isSinceKept || fate?.since === undefined ? [] : [fate.since])];
}
