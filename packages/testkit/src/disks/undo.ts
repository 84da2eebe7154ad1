/*
 * Mounts and loop devices outlive the process that made them. What a test did not dispose (it failed in its set-up, the runner
 * called `process.exit`) is undone when the process ends, newest first.
 */

const undos = new Set<() => void>();

process.on('exit', () => {
  for (const undo of [...undos].toReversed()) undo();
});

/** Has `undo`, which must be synchronous and never throw, run at process exit unless the returned function was called before. */
export function undoAtExit(undo: () => void): () => void {
  undos.add(undo);
  return () => {
    undos.delete(undo);
  };
}
