/*
 * Run as a process of its own, which a test kills: begins an object in a store, writes to it, says its token and waits.
 *
 *     node write-and-wait.ts DIRECTORY KEY BYTES
 */
import { openFileStore } from '@gantry/transport-file';

const [directory = '', key = '', bytes = '0'] = process.argv.slice(2);
const pending = await openFileStore(directory).begin(key);

async function* once(): AsyncGenerator<Uint8Array> {
  yield Buffer.alloc(Number(bytes), 'x');
}

await pending.append(once());
process.stdout.write(`${pending.token}\n`);
// Holds the process open until it is killed.
process.stdin.resume();
