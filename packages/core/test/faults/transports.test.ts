import { ALL_OPERATIONS } from './all-operations.ts';
import { fileMedium } from './file-place.ts';
import { ALL_FAULTS } from './points.ts';
import { s3Medium } from './s3-place.ts';
import { sshMedium } from './ssh-place.ts';
import { describeFaults } from './try-points.ts';

/*
 * The same operations with real stores: a directory whose file system fails at each of its calls; and, for scripts/faults.sh, a peer behind
 * a network that breaks at any byte, and a bucket whose service fails at each request.
 */

/** Removed exports can be brought back just where a service keeps versions. */
const HERE = ALL_OPERATIONS.filter(({ name }) => name !== 'undelete');

const TITLE = 'at any fault of a real store, complete exports stay, and nothing is left that the next command does not clear';

describeFaults({ title: TITLE, name: 'file', makeMedium: fileMedium, operations: HERE });
if (ALL_FAULTS) describeFaults({ title: TITLE, name: 'ssh', makeMedium: sshMedium, operations: HERE });
if (ALL_FAULTS) describeFaults({ title: TITLE, name: 's3', makeMedium: s3Medium, operations: HERE });
