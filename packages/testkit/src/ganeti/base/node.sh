#!/bin/bash
# The first process of a node, called by lab.sh in namespaces of its own: node.sh BASE WORK NODE SHARE…
set -euo pipefail
. "$(dirname "$0")/cluster.sh"
base=$1 work=$2 node=$3
shift 3

mount --make-rslave /
mkdir "$work"/{upper,overlay,root}
root=$work/root
lower=$base/tree
[ ! -d "$base/$node" ] || lower=$base/$node:$lower
mount -t overlay node -o "lowerdir=$lower,upperdir=$work/upper,workdir=$work/overlay" "$root"
read_only() {
  mkdir -p "$root$2"
  mount --bind "$1" "$root$2"
  mount -o remount,bind,ro "$root$2"
}
# Its QEMU is the host's.
read_only / /host
for share; do read_only "$share" "$share"; done
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=755 run "$root/run"
mount -t tmpfs -o mode=755 dev "$root/dev"
mkdir -p "$root"/dev/{pts,shm,net} "$root"/run/{lock,sshd}
for device in null zero full random urandom tty net/tun; do
  [ -e "/dev/$device" ] || continue
  touch "$root/dev/$device"
  mount --bind "/dev/$device" "$root/dev/$device"
done
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
mount -t tmpfs shm "$root/dev/shm"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"

write_hosts >"$root/etc/hosts"
echo "$node.example.com" >"$root/etc/hostname"
hostname "$node.example.com"
ip link set lo up
ip address add "$(address_of "$node")/24" dev eth0
ip link set eth0 up
for bridge in br0 br1; do
  ip link add "$bridge" type bridge
  ip link set "$bridge" up
done
chroot "$root" /usr/bin/ssh-keygen -A >/dev/null
chroot "$root" /usr/sbin/sshd
touch "$root/run/up"
exec chroot "$root" /bin/bash -c 'while :; do sleep 1000000 & wait $!; done'
