// Exports every instance file that is named, and verifies each export: node nightly.ts STORE-DIRECTORY INSTANCE-FILE… (gantry store init makes the store)
import { exportInstance, loadInstanceFile, verifyExport } from '@gantry/core';
import { openFileStore } from '@gantry/transport-file';

const [directory = 'exports', ...files] = process.argv.slice(2);
const stop = new AbortController();
process.once('SIGTERM', () => stop.abort(new Error('told to stop')));
const { signal } = stop;

await using store = openFileStore(directory);
for (const file of files) {
  const instance = await loadInstanceFile(file, { signal });
  const { reference, plainBytes } = await exportInstance({
    instance,
    store,
    signal,
    onEvent: (event) => event.type === 'warning' && console.warn(event.message),
  });
  await verifyExport({ store, export: reference, signal });
  console.log(`${reference}: ${plainBytes} bytes exported and verified`);
}
