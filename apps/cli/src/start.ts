import { availableParallelism } from 'node:os';
import { keepCompiledCode } from './compile-cache.ts';

// libuv reads this at its first job: one thread per processor to compress on, and some that wait for files.
process.env['UV_THREADPOOL_SIZE'] ??= String(availableParallelism() + 4);
keepCompiledCode();
// Everything loaded from here on comes from the compile cache, if it is there.
void start();

async function start(): Promise<void> {
  if (!('AsyncDisposableStack' in globalThis)) await import('./before-node-24.ts');
  await import('./main.ts');
}
