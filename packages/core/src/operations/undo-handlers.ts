import type { Undo } from '../runs/undo.ts';
import { scriptUndo } from '../scripts/undo-script.ts';
import { createProviders } from '../snapshots/registry.ts';
import { freezeUndo } from '../snapshots/freeze.ts';
import { snapshotUndo } from '../snapshots/undo-snapshot.ts';

/**
 * Undoes whatever a killed run may have left on this machine. First the processes, which may write to a disk and have a snapshot open;
 * then what stands still because of us.
 */
export function undoHandlers(): readonly Undo[] {
  return [scriptUndo, freezeUndo, snapshotUndo(createProviders())];
}
