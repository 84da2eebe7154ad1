#!/bin/bash
# The first process of the namespaces of a fresh root; what it starts and mounts ends with it. Prints "ready" when the root can be entered.
#   hold-root.sh hold TREE WORK SHARE…            stays, and starts nothing; the root has the network of the host
#   hold-root.sh boot TREE WORK SHARE…            becomes the root's systemd, in a control group called as the directory WORK is in
# Its file system is TREE, and what is written goes to memory; it sees each host directory SHARE under the same path, read-only.
set -euo pipefail
umask 022
how=$1 tree=$2 work=$3
if [ "$how" = boot ]; then
  group=$(findmnt --noheadings --first-only --types cgroup2 --output TARGET)/$(basename "$(dirname "$work")")
  mkdir "$group"
  echo $$ >"$group/cgroup.procs"
  exec unshare --cgroup "$0" boot-in-group "${@:2}"
fi
shift 3
mount --make-rslave /
# In memory: an overlay cannot be written to on the overlay that is a container's root.
mount -t tmpfs -o mode=755 root "$work"
mkdir "$work"/{upper,overlay,root}
root=$work/root
mount -t overlay root -o "lowerdir=$tree,upperdir=$work/upper,workdir=$work/overlay" "$root"
for share; do
  mkdir -p "$root$share"
  mount --bind "$share" "$root$share"
  mount -o remount,bind,ro "$root$share"
done
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir -p "$root"/dev/{pts,shm} "$root"/run/{lock,sshd}
for device in null zero full random urandom tty; do
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
cp /etc/hosts /etc/resolv.conf "$root/etc/"

if [ "$how" = hold ]; then
  exec chroot "$root" /bin/bash -c 'echo ready; while :; do sleep 1000000 & wait $!; done'
fi
ip link set lo up
tr -d - </proc/sys/kernel/random/uuid >"$root/etc/machine-id"
mount -t cgroup2 cgroup "$root/sys/fs/cgroup"
# It says "running" or "degraded" when all that starts with it has started, or failed.
(until chroot "$root" systemctl is-system-running --wait 2>/dev/null | grep -qE 'running|degraded'; do sleep 0.1; done; echo ready) &
exec chroot "$root" /usr/bin/env -i container=gantry PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd >&2
