import process from 'node:process';
import { makeScratchDisks } from '../src/flow/scratch-disks.ts';
import { openRun } from '../src/runs/journal.ts';
import { openStateDirectory } from '../src/runs/state-directory.ts';

/* Makes scratch disks, says so, and waits to be killed: `rehearse-and-wait.ts STATE-DIRECTORY DIRECTORY`. */
const [, , state, directory = ''] = process.argv;
const run = await openRun({ stateDirectory: await openStateDirectory(state), operation: 'verify', instance: 'web1' });
await makeScratchDisks({ directory, sizes: [4096, 4096], neededBytes: 8192, run });
process.send?.('made');
setInterval(() => undefined, 60_000);
