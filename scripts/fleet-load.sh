#!/bin/sh
# How a queue on PostgreSQL bears a fleet: fleet-load.sh [--agents 500] [--runs 20000] [--speed 60] [--dead 10] simulates agents that make exports which are pauses,
# a planner that is killed each minute, and (--dead) agents of which that number of 100 dies. It prints how long they waited for work, how many connections there were
# and what the database used, without most renewals of leases. Needs root and postgresql on Debian; some 8 minutes.
set -eu
cd "$(dirname "$0")/.."
exec node_modules/.bin/node --conditions=@gantry/source apps/fleet/test/load/main.ts "$@"
