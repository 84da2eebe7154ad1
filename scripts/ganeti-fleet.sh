#!/bin/sh
# Describes many instances of a real Ganeti cluster through RAPI and through LUXI, and compares: `scripts/ganeti-fleet.sh [INSTANCES]`,
# 50 by default. The tests do the same with a few. Needs what scripts/test.sh needs, and root; takes about four seconds per instance.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
GANTRY_GANETI_INSTANCES=$((${1:-50} - 1)) exec vitest run packages/inventory-ganeti/src/real-cluster.test.ts \
  --testNamePattern 'every instance is described'
