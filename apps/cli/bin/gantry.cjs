#!/usr/bin/env node
'use strict';
const { availableParallelism } = require('node:os');

// libuv reads this when its first job comes: a thread for each processor to compress on, and some that wait for files.
process.env.UV_THREADPOOL_SIZE ??= String(availableParallelism() + 4);
require('../dist/main.cjs');
