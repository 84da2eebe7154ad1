#!/bin/sh
# Kills (-9) operations at random moments, and checks what they leave: `scripts/kills.sh [KILLS-OF-EACH]`, 300 by default.
# The tests do the same with a few kills. Needs what scripts/test.sh needs; takes about two seconds per kill.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
GANTRY_TEST_KILLS=${1:-300} exec vitest run apps/cli/test/kill-*.test.ts
