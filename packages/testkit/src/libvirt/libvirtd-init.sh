#!/bin/bash
# First process of the namespaces in which a libvirtd of a test runs with its guests: everything ends with it. The directories that
# libvirt has built in are the test's own here, and the account for guests, which the Debian package libvirt-daemon-system makes, is
# there. Each line on standard input starts libvirtd; bash collects what ends meanwhile, as a first process must.
set -eu
directory=$1
# Over all of /etc: a file mounted over /etc/passwd alone would be gone as soon as anybody on this machine makes an account, which replaces
# the file below it (mount_namespaces(7): a mount point that is renamed over elsewhere is unmounted here). Not a copy, which would fail if
# it met a file that useradd(8) has there for a moment.
mkdir "$directory/own"
mount -t tmpfs tmpfs "$directory/own"
mkdir "$directory/own"/{etc,work}
for file in passwd group; do grep -v '^libvirt-qemu:' "/etc/$file" >"$directory/own/etc/$file"; done
echo 'libvirt-qemu:x:64055:64055::/:/usr/sbin/nologin' >>"$directory/own/etc/passwd"
echo 'libvirt-qemu:x:64055:' >>"$directory/own/etc/group"
# Other tests change /etc meanwhile, and what an overlay shows of a lower directory that changes is undefined (kernel.org/doc, overlayfs,
# "Changes to underlying filesystems"): all that matters here is in the upper one, or under a mount of its own below.
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$directory/own/etc,workdir=$directory/own/work" /etc
for pair in etc:/etc/libvirt lib:/var/lib/libvirt run:/run/libvirt log:/var/log/libvirt cache:/var/cache/libvirt \
  swtpm-log:/var/log/swtpm swtpm-ca:/var/lib/swtpm-localca; do
  mkdir -p "$directory/${pair%%:*}" "${pair#*:}"
  mount --bind "$directory/${pair%%:*}" "${pair#*:}"
done
# The account for TPMs comes with swtpm.
! id tss >/dev/null 2>&1 || chown tss "$directory/swtpm-ca"
while read -r _; do libvirtd --pid-file /run/libvirt/libvirtd.pid & done
