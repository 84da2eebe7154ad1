#!/bin/busybox sh
# First process of a guest that only writes: number n, in a block of 4 KiB, to the first disk and then to the second, at block
# n * 2654435761 modulo their number, each durable before the next. It says every number that is on both.
b=/bin/busybox
while read -r file; do $b insmod "/modules/$file"; done </modules/list
$b mount -t devtmpfs dev /dev
while [ ! -b /dev/vdb ]; do $b usleep 20000; done
$b mkdir -p /sys && $b mount -t sysfs sys /sys
blocks=$(($($b cat /sys/block/vda/size) / 8))
n=1
while :; do
  at=$((n * 2654435761 % blocks))
  for disk in vda vdb; do
    printf '%-4095d\n' $n | $b dd of=/dev/$disk bs=4096 seek=$at iflag=fullblock oflag=direct conv=notrunc,fsync status=none || echo "failed $n"
  done
  echo "wrote $n"
  n=$((n + 1))
done
