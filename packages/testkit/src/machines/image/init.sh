#!/bin/sh
# First process of a machine (both engines), without systemd, which would take longer than the tests. It runs the scripts that come over
# a serial line from the test: each line is a mark, a space, and a script in base64. The script's output goes to two other lines; when it
# has ended, the mark and its status follow on both.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sys /sys
mountpoint -q /dev || mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for directory in /dev/shm /run /tmp; do mount -t tmpfs -o mode=1777 tmpfs "$directory"; done
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p /run/lock /run/udev /run/sshd
ip link set lo up
hostname machine

# LVM and others wait for udev, which works without systemd.
/lib/systemd/systemd-udevd --daemon --resolve-names=never
udevadm trigger --action=add --subsystem-match=virtio --subsystem-match=block
udevadm settle -t 30

# The same names under both engines: /dev/machine/0 is the first disk of the test.
case $(uname -r) in
  *-amd64) prefix=/dev/vd first=b line=/dev/virtio-ports/ ;;
  *) prefix=/dev/ubd first=b line=/dev/ttyS ;;
esac
mkdir -p /dev/machine
number=0
for letter in b c d e f g h i j k l m n o p; do
  [ ! -b "$prefix$letter" ] || ln -s "$prefix$letter" "/dev/machine/$number"
  number=$((number + 1))
done
for name in 0 1 2; do
  while [ ! -e "$line$name" ]; do sleep 0.05; done
  [ "$line" != /dev/ttyS ] || stty -F "$line$name" raw -echo
done
exec 7<>"${line}0" 8>"${line}1" 9>"${line}2"

echo ready >&8
while read -r mark script <&7; do
  echo "$script" | base64 -d >/run/script
  # A session of its own without a terminal, and none of our descriptors.
  setsid -w sh /run/script </dev/null >&8 2>&9 7<&- 8>&- 9>&-
  status=$?
  printf '%s %s\n' "$mark" "$status" >&8
  printf '%s %s\n' "$mark" "$status" >&9
done
