#!/bin/sh
# Takes snapshots of volumes and files on ZFS in an emulated machine. Debian has the module as source alone (contrib), so the first run
# compiles it: five to fifteen minutes; the image is kept. Needs what scripts/test.sh needs, and root; then takes some minutes.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh
PATH=$PWD/node_modules/.bin:$PATH
export PATH GANTRY_ZFS=1
run_tests apps/cli/test/zfs-snapshots.test.ts
