#!/bin/sh
# Exports, imports, prunes and removals in a row with random faults (killed, no space, store away), in a directory and in a bucket, through
# the command; and many operations of the core as a library in one process. Prints counts, memory and descriptors. The tests make a few of
# each. Needs what scripts/test.sh needs; about a quarter of an hour. GANTRY_SOAK_SEED=N makes the same choices again.
#   scripts/soak.sh [RUNS [OPERATIONS]]   200 runs of the command in each store and 1,000 operations of the library by default
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh
PATH=$PWD/node_modules/.bin:$PATH
export PATH GANTRY_SOAK_RUNS="${1:-200}" GANTRY_SOAK_OPERATIONS="${2:-1000}"
run_tests apps/cli/test/soak.test.ts apps/cli/test/soak-library.test.ts
