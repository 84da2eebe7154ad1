import { MEMORY } from '../../test/faults/memory-place.ts';
import { CHANNEL, MOVES } from '../../test/faults/move-operation.ts';
import { OPERATIONS } from '../../test/faults/operations.ts';
import { FAULTY_SCRIPTS, SCRIPT_OPERATIONS, SCRIPTS } from '../../test/faults/script-operations.ts';
import { describeFaults } from '../../test/faults/try-points.ts';

/*
 * Every operation, with every kind of fault at every call of its stores, of the channel to its peer, and at bytes of what goes through
 * them and through its scripts. By default a few of them: see scripts/faults.sh.
 */

describeFaults({ name: MEMORY.name, makeMedium: () => MEMORY, operations: OPERATIONS });
describeFaults({ name: CHANNEL.name, makeMedium: () => CHANNEL, operations: MOVES });
describeFaults({ name: SCRIPTS.name, makeMedium: () => SCRIPTS, operations: SCRIPT_OPERATIONS, scripts: FAULTY_SCRIPTS });
