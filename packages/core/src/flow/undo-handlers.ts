import { definitionNotice, newInstanceNotice, originNotice } from './notices.ts';
import type { Remedy } from '../runs/undo.ts';
import { hookUndo } from './hooks.ts';
import { scratchUndo } from './scratch-disks.ts';
import { newDisksUndo } from './undo-new-disks.ts';
import { scriptUndo } from '../scripts/undo-script.ts';
import { providerNamed } from '../snapshots/registry.ts';
import { freezeUndo } from '../snapshots/freeze.ts';
import { pauseUndo, undecidedPauseNotice } from '../snapshots/pause.ts';
import { snapshotFilesUndo } from '../snapshots/snapshot-files.ts';
import { snapshotUndo } from '../snapshots/undo-snapshot.ts';

/**
 * Undoes everything a killed run may have left on this machine: first processes, which may write to a disk or have a snapshot open, then
 * freezes, pauses and hooks, then snapshots, scratch disks and new ones. At last it says what may be left where instances are described.
 */
export function undoHandlers(): readonly Remedy[] {
  return [
    scriptUndo,
    freezeUndo,
    pauseUndo,
    hookUndo,
    snapshotFilesUndo,
    snapshotUndo(providerNamed),
    scratchUndo,
    newDisksUndo,
    undecidedPauseNotice,
    definitionNotice,
    originNotice,
    newInstanceNotice,
  ];
}
