#!/bin/sh
# Takes away what guards data (comparisons of digests, fsync, checks of limits, claims, locks, …), one guard at a time, in copies of the tree:
# for each, the tests that are listed with it must fail. tools/mutants/ has the list. Needs what scripts/test.sh needs; about half an hour.
#   scripts/mutants.sh [WORD…]   only guards whose name, file or test has one of these words; GANTRY_MUTANT_JOBS=2 at once
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
exec unshare --mount --propagation shared node tools/mutants/run.ts "$@"
