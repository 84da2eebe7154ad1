#!/bin/sh
# All checks and tests. Brings what they need (npm and, as root on Debian, apt packages), says what it could not bring, and fails then.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh

# Real file systems, real archivers, real readers of the formats.
apt_packages acl attr btrfs-progs dump e2fsprogs git gzip openssl perl-base pigz procps python3 strace tar util-linux xfsprogs zstd \
  qemu-system-x86 qemu-utils \
  ceph-common ceph-mon ceph-osd radosgw swift-account swift-container swift-object swift-proxy \
  bsdutils iproute2 openssh-client openssh-server passwd ||
  die 'the tests need these Debian packages: install them as root, or run the tests as root.'
[ "$(id -u)" = 0 ] || die 'the tests mount file systems and attach loop devices: run them as root.'

install_packages
build_packages

say 'Types of the tests'
tsc -p tsconfig.test.json
say 'Lint and format'
oxlint
oxfmt --check .
say 'Directions of imports, unused code, shape of the packages'
turbo boundaries
knip
turbo run check --output-logs=errors-only
say 'Tests'
exec vitest run "$@"
