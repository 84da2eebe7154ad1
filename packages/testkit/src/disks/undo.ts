/*
 * Mounts and loop devices outlive the process that made them. What a test did not dispose (its set-up failed, or the runner called
 * `process.exit`) is undone when the process ends, newest first.
 */

const undos = new Set<() => void>();

process.on('exit', () => {
  for (const undo of [...undos].toReversed()) undo();
});

/** Registers `undo`, which must be synchronous and never throw, for process exit. The returned function cancels it. */
export function undoAtExit(undo: () => void): () => void {
  undos.add(undo);
  return () => {
    undos.delete(undo);
  };
}
