import type { Undo } from '../runs/undo.ts';
import { scriptUndo } from '../scripts/undo-script.ts';
import { createProviders } from '../snapshots/registry.ts';
import { freezeUndo } from '../snapshots/freeze.ts';
import { pauseUndo } from '../snapshots/pause.ts';
import { snapshotUndo } from '../snapshots/undo-snapshot.ts';

/**
 * Undoes everything a killed run may have left on this machine: first processes, which may write to a disk or have a snapshot open, then
 * freezes and pauses, then snapshots.
 */
export function undoHandlers(): readonly Undo[] {
  return [scriptUndo, freezeUndo, pauseUndo, snapshotUndo(createProviders())];
}
