import type { PolicyRunRequest } from './run-request.ts';
import type { Occurrence } from './window.ts';
import { endedOccurrences, occurrenceAt } from './window.ts';

/** When a run may begin exports, and which earlier ones count. */
export interface RunTimes {
  /** Exports that began since then count as done; undefined: none does. */
  readonly since: Date | undefined;
  /** The window that binds the run; `closed` outside of it, `open` if there is none. */
  readonly window: Occurrence | 'open' | 'closed';
}

/** @param now when the run begins */
export function timesOf({ policy, again, skipNewerMs, ignoreWindow }: PolicyRunRequest, now: Date): RunTimes {
  const occurrence = policy.window === undefined ? undefined : occurrenceAt(policy.window, now);
  const ofWindow = skipNewerMs === undefined ? occurrence?.begin : new Date(now.getTime() - skipNewerMs);
  return {
    since: again === true ? undefined : ofWindow,
    window: policy.window === undefined || ignoreWindow === true ? 'open' : (occurrence ?? 'closed'),
  };
}

/**
 * Since when exports count for what comes after them: of the age that was given, or of the window that is open or was open last.
 *
 * @returns undefined if nothing says so
 */
export function exportsCountSince({ policy: { window }, skipNewerMs }: PolicyRunRequest, now: Date): Date | undefined {
  if (skipNewerMs !== undefined) return new Date(now.getTime() - skipNewerMs);
  if (window === undefined) return undefined;
  return (occurrenceAt(window, now) ?? endedOccurrences(window, now, 1)[0])?.begin;
}
