/*
 * Run as a separate process: writes an object into a store, and kills itself at a call of a function of `node:fs/promises`.
 *
 *     node write-and-die.ts DIRECTORY KEY FUNCTION NTH-CALL
 */
import { createHash } from 'node:crypto';
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import process from 'node:process';

const [directory = '', key = '', called = '', nth = '1'] = process.argv.slice(2);
const { mkdir } = fs.promises;
let calls = 0;

function die(): never {
  process.kill(process.pid, 'SIGKILL');
  throw new Error('still running after SIGKILL');
}

Object.defineProperty(fs.promises, called, {
  value: new Proxy(Reflect.get(fs.promises, called), {
    apply: (call, self, args) => {
      calls += 1;
      if (calls < Number(nth)) return Reflect.apply(call, self, args);
      return die();
    },
  }),
});
syncBuiltinESMExports();

const { openFileStore } = await import('@gantry/transport-file');
async function* once(): AsyncGenerator<Uint8Array> {
  yield Buffer.from('content');
}

await mkdir(directory, { recursive: true });
await using pending = await openFileStore(directory).begin(key);
await pending.append(once());
await pending.commit({ size: 7, sha256: createHash('sha256').update('content').digest('hex') });
