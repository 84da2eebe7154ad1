#!/bin/busybox sh
# First process of the emulated machine: finds the first disk, and continues there.
b=/bin/busybox
while read -r file; do $b insmod "/modules/$file"; done </modules/list
$b mount -t devtmpfs dev /dev
while [ ! -b /dev/vda ]; do $b usleep 20000; done
$b mount -t ext4 -o noatime /dev/vda /root || $b poweroff -f
$b umount /dev
exec $b switch_root /root /sbin/machine-init
