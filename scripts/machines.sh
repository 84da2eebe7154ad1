#!/bin/sh
# Runs the tests in machines with a kernel of their own, with those that differ little from others, too. Needs what scripts/test.sh needs.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
GANTRY_ALL_VARIANTS=1 exec vitest run apps/cli/test/lvm-snapshots.test.ts
