#!/bin/sh
# Every operation, with every kind of fault (fails, its answer is lost, denied, full, a bit flipped, cut, killed) at every call of its stores:
# some 4,000. Half an hour. Each failure says how it is tried again: GANTRY_FAULT_ONLY='OPERATION:CALL:KIND' scripts/faults.sh
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
GANTRY_FAULT_SHARE=1 exec vitest run --testTimeout 7200000 packages/core/src/operations/fault-points.test.ts
