#!/bin/sh
# Every operation with every kind of fault: at every call of its stores, of the channel to its peer, of a file system, of a network and of a
# service, and at bytes of what goes through them and through its scripts. Prints how many faults were tried, of how many that there are.
# Each failure says how it is tried again: GANTRY_FAULT_ONLY='MEDIUM:OPERATION:CALL:KIND' scripts/faults.sh
#   scripts/faults.sh [SHARE] [FILE…]   one fault in SHARE; all of them by default, which takes hours: 20 is some minutes
# Needs what scripts/test.sh needs.
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
counts=$(mktemp)
trap 'rm -f "$counts"' EXIT
share=1
case ${1:-} in [0-9]*) share=$1 && shift ;; esac
[ $# -gt 0 ] || set -- packages/core/src/operations/fault-points.test.ts packages/core/test/faults/transports.test.ts
# Nothing has to survive a power cut here.
[ -n "${TMPDIR:-}" ] || TMPDIR=/dev/shm
export PATH TMPDIR GANTRY_FAULT_SHARE="$share" GANTRY_FAULT_COUNTS="$counts"
status=0
vitest run --testTimeout 36000000 "$@" || status=$?
# A name of a fault that is not there any more must not look like one that is mended.
awk -F '\t' '{ tried += $2; missed += $3; all += $4 }
  END { printf "%d distinct faults, %d tried, %d more were not reached\n", all, tried, missed; exit tried == 0 }' "$counts" || status=1
exit "$status"
