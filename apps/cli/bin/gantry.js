#!/usr/bin/env node
import { availableParallelism } from 'node:os';
import process from 'node:process';

// libuv reads this when its first job comes: a thread for each processor to compress on, and some that wait for files.
process.env['UV_THREADPOOL_SIZE'] ??= String(availableParallelism() + 4);
await import('../dist/main.js');
