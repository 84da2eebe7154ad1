import { availableParallelism } from 'node:os';
import { keepCompiledCode } from './compile-cache.ts';

// libuv reads this at its first job: one thread per processor to compress on, and some that wait for files.
process.env['UV_THREADPOOL_SIZE'] ??= String(availableParallelism() + 4);
keepCompiledCode();
// Everything loaded from here on comes from the compile cache, if it is there.
void import('./main.ts');
