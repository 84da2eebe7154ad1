#!/bin/sh
# Fuzzes every reader of input that others may have made, guided by what is executed; `scripts/fuzz.sh --help` lists the options.
#   scripts/fuzz.sh --minutes 60            an hour for all of them together
#   scripts/fuzz.sh --total 10000000        ten million inputs in all, ten seconds for each of them, over and over
#   scripts/fuzz.sh --inputs 1000000 NAME   a million inputs for one
set -eu
cd "$(dirname "$0")/.."
PATH=$PWD/node_modules/.bin:$PATH
export PATH
exec node --conditions=@gantry/source packages/testkit/src/fuzz/main.ts "$@"
