#!/bin/sh
# Kills (-9) operations at random moments, and checks what they leave. The tests do the same with a few kills. Guests
# that write do not rest between their writes here. Needs what scripts/test.sh needs; takes two to five seconds per kill.
#   scripts/kills.sh [KILLS-OF-EACH]   operations with stores and peers, 300 by default
#   scripts/kills.sh qemu [KILLS]      exports of a running guest that is frozen, paused and watched for changes, 200 by default
#   scripts/kills.sh libvirt [KILLS]   exports of a running guest of libvirt that is frozen and watched for changes, 200 by default
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh
PATH=$PWD/node_modules/.bin:$PATH
export PATH GANTRY_WRITER_PAUSE_MS=0
case ${1:-} in
  qemu)
    export GANTRY_QEMU_KILLS="${2:-200}"
    run_tests_named 'killed at any moment' packages/core/src/snapshots/qemu-mixed-guest.test.ts
    ;;
  libvirt)
    export GANTRY_LIBVIRT_KILLS="${2:-200}"
    run_tests_named 'killed at any moment' packages/core/src/snapshots/libvirt/libvirt.test.ts
    ;;
  *)
    export GANTRY_TEST_KILLS="${1:-300}"
    run_tests apps/cli/test/kill-*.test.ts
    ;;
esac
