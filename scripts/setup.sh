#!/bin/sh
# Installs, builds, and shows the main job on a small disk. Needs only Node 20 or later with npm.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh

install_packages
build_packages
scripts/demo.sh
