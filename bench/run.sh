#!/bin/sh
# Runs other tools and Gantry in turn on the same data: `bench/run.sh`; its options are in bench/README.md. Installs what it needs.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh

apt_packages awscli borgbackup ceph-common ceph-mon ceph-osd ganeti gzip openssh-client openssh-server openssl pigz procps python3 \
  qemu-utils radosgw rclone restic s3cmd socat zstd ||
  printf 'bench: tools that are missing are shown as "could not run".\n' >&2
install_packages
build_packages
say 'Benchmark'
node --conditions=@gantry/source bench/src/main.ts "$@"
oxfmt docs/explanation/performance.md
