import { availableParallelism } from 'node:os';
import { keepCompiledCode } from './compile-cache.ts';

// libuv reads this when its first job comes: a thread for each processor to compress on, and some that wait for files.
process.env['UV_THREADPOOL_SIZE'] ??= String(availableParallelism() + 4);
keepCompiledCode();
// What is loaded from here on is looked for among the compiled.
void import('./main.ts');
