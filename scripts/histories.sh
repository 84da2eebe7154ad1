#!/bin/sh
# Random histories of two stores in memory: exports that share frames, copies, removals, prunes, cleans and imports at the same time, their
# calls in any order, kills between any two. The tests make some thousand calls. About ten minutes for a million.
#   scripts/histories.sh [CALLS]   1,000,000 by default
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
GANTRY_HISTORY_STEPS=${1:-1000000} exec vitest run packages/core/src/operations/histories.test.ts
