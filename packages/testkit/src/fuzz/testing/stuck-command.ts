import process from 'node:process';
import { WatchedWorker } from '../watched-worker.ts';

/* As the command of the fuzzer: a signal ends it, although its worker is stuck. */

process.once('SIGTERM', () => process.exit(1));
await using worker = new WatchedWorker();
await worker.run({
  name: 'never-ends',
  file: new URL('never-ends.ts', import.meta.url).href,
  corpus: '/nonexistent',
  seed: 1,
  inputs: 1,
  isGuided: false,
});
