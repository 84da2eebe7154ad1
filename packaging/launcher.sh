#!/bin/sh
# Starts Gantry with the Node beside it, wherever this directory is, and through symbolic links.
self=$(readlink -f -- "$0")
lib=${self%/bin/*}/lib/gantry
exec "$lib/node" "$lib/PROGRAM" "$@"
