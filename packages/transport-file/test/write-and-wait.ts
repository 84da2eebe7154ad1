/*
 * Run as a separate process, which a test kills: starts an object in a store, writes to it, prints its token and waits.
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
// Keeps the process running until it is killed.
process.stdin.resume();
