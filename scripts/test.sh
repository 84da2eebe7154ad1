#!/bin/sh
# Runs all checks and tests. Installs what they need (npm and, as root on Debian, apt packages); fails if it cannot, and says what is missing.
set -eu
cd "$(dirname "$0")/.."
. scripts/tools.sh

# Part of QEMU's packages until Debian 12.
virtiofsd=$(. /etc/os-release && [ "${VERSION_ID:-0}" -gt 12 ] && echo virtiofsd || :)
# A mail system of a few kilobytes, unless there is one.
sendmail=$([ -e /usr/sbin/sendmail ] || echo dma)
# Real file systems, real archivers, real readers of the formats.
apt_packages acl age attr btrfs-progs dump e2fsprogs ganeti git gzip openssl perl-base pigz procps python3 strace tar tmux util-linux xfsprogs zstd \
  bzip2 fdisk libnbd-bin lz4 lzop nbdkit qemu-guest-agent qemu-block-extra qemu-system-x86 qemu-utils xz-utils \
  ceph-common ceph-mon ceph-osd radosgw swift-account swift-container swift-object swift-proxy \
  bsdutils iproute2 openssh-client openssh-server passwd \
  fish man-db mandoc restic zsh \
  binutils debhelper dpkg-dev lintian systemd \
  cpio curl lz4 mmdebstrap xz-utils $virtiofsd \
  libfaketime libvirt-clients libvirt-daemon libvirt-daemon-driver-qemu swtpm swtpm-tools systemd \
  postgresql-15 \
  chromium fonts-dejavu-core prometheus prometheus-node-exporter $sendmail ||
  die 'the tests need these Debian packages: install them as root, or run the tests as root.'
[ "$(id -u)" = 0 ] || die 'the tests mount file systems and attach loop devices: run them as root.'

# Made while everything else goes on; tests that need it wait for it.
ganeti=$(mktemp)
trap 'kill -- "-$ganeti_pid" 2>/dev/null || :; rm -f "$ganeti"' EXIT
setsid packages/testkit/src/ganeti/base/make-base.sh >"$ganeti" 2>&1 &
ganeti_pid=$!

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
say 'The image of the test machines'
packages/testkit/src/machines/image/make-image.sh
say 'The tree of the fresh roots'
packages/testkit/src/roots/make-root.sh
say 'Tests'
status=0
run_tests "$@" || status=$?
wait "$ganeti_pid" || {
  cat "$ganeti" >&2
  die "cannot make Ganeti's base system, from which the clusters of the tests start."
}
cat "$ganeti"
exit "$status"
