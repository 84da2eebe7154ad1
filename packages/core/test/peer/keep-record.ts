/*
 * A process for tests of move records: a receiver that says `opened` when its record is there, waits for its stdin to end, commits, says
 * `committed` and ends. Arguments: state directory, move id.
 */
import { MoveLedger } from '../../src/peer/move-ledger.ts';

const [state, moveId = ''] = process.argv.slice(2);
const disks = [{ disk: 0, state: 'complete' }] as const;
const ledger = await MoveLedger.open(state, { moveId, instance: 'web1', node: 'node1' }, { target: 'web2', disks });
console.log('opened');
for await (const _ of process.stdin);
await ledger.commit(disks);
console.log('committed');
