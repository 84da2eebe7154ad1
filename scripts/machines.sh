#!/bin/sh
# Runs the tests in machines and of guests with those that differ little from others, which the tests leave out. Needs what scripts/test.sh needs.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
GANTRY_ALL_VARIANTS=1 exec vitest run apps/cli/test/lvm-snapshots.test.ts packages/core/src/snapshots/libvirt/libvirt.test.ts
