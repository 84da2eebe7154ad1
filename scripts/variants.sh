#!/bin/sh
# Runs the tests that have variants with all of them: in machines, of guests, by every engine, with every value, with gigabytes. The tests
# leave out those that differ little from others. Guests that write do not rest between their writes. Needs what scripts/test.sh needs; half an hour.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh
PATH=$PWD/node_modules/.bin:$PATH
export PATH GANTRY_ALL_VARIANTS=1 GANTRY_WRITER_PAUSE_MS=0
# shellcheck disable=SC2046 # a list of words
run_tests $(grep -rlE --include='*.test.ts' 'ALL_VARIANTS|\boneIn\b' apps packages)
