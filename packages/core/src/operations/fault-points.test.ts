import { ALL_OPERATIONS } from '../../test/faults/all-operations.ts';
import { SNAPSHOT_OPERATIONS, SNAPSHOTS } from '../../test/faults/local-operations.ts';
import { MEMORY } from '../../test/faults/memory-place.ts';
import { CHANNEL, MOVES } from '../../test/faults/move-operation.ts';
import { FAULTY_SCRIPTS, SCRIPT_OPERATIONS, SCRIPTS } from '../../test/faults/script-operations.ts';
import { describeFaults } from '../../test/faults/try-points.ts';

/*
 * Every operation, with every kind of fault at every call of its stores, of the channel to its peer, and at bytes of what goes through
 * them and through its scripts. By default a few of them: see scripts/faults.sh.
 */

describeFaults({
  title: 'at any fault, complete exports stay, and nothing is left that the next command does not clear',
  name: MEMORY.name,
  makeMedium: () => MEMORY,
  operations: ALL_OPERATIONS,
});
describeFaults({
  title: 'a channel that fails at any message or byte leaves the source as it was, and the next move succeeds',
  name: CHANNEL.name,
  makeMedium: () => CHANNEL,
  operations: MOVES,
});
describeFaults({
  title: 'a script that fails in any way at any byte leaves no process, and nothing that lists as complete',
  name: SCRIPTS.name,
  makeMedium: () => SCRIPTS,
  operations: SCRIPT_OPERATIONS,
  scripts: FAULTY_SCRIPTS,
});
describeFaults({
  title: 'a command for snapshots that fails in any way leaves no snapshot, no frozen guest, and nothing that lists as complete',
  name: SNAPSHOTS.name,
  makeMedium: () => SNAPSHOTS,
  operations: SNAPSHOT_OPERATIONS,
});
