#!/bin/busybox sh
# First process of a guest that only writes: number n, in a block of 4 KiB, to the first disk and then to the others, at block
# n * 2654435761 modulo their number, each durable before the next. It says every number that is on all of them. In its environment:
# DISKS, how many there are, 2 by default; IN_FLIGHT, how many numbers are written to all disks at once, 1 by default; AGENT=1 for a
# guest agent and a disk with the serial number `files`, which has an ext4 that is mounted and written to; PAUSE_US, how long it rests
# after each write, 0 for not at all.
b=/bin/busybox
while read -r file; do $b insmod "/modules/$file"; done </modules/list
$b mount -t devtmpfs dev /dev
$b mkdir -p /sys && $b mount -t sysfs sys /sys
find_disks() {
  disks= files= found=0
  for disk in /sys/block/[sv]d*; do
    name=${disk##*/}
    [ -b "/dev/$name" ] && [ "$($b cat "$disk/size")" -gt 0 ] || continue
    if [ "$($b cat "$disk/serial" 2>/dev/null)" = files ]; then
      files=$name
    else
      disks="$disks $name" found=$((found + 1))
    fi
  done
  [ $found -ge "${DISKS:-2}" ] && [ -n "$files" -o -z "$AGENT" ]
}
until find_disks; do $b usleep 20000; done

if [ -n "$AGENT" ]; then
  $b mkdir -p /proc /run /files
  $b mount -t proc proc /proc
  $b mount -t ext4 "/dev/$files" /files
  until port=$(echo /dev/vport*p1) && [ -c "$port" ]; do $b usleep 20000; done
  /usr/sbin/qemu-ga -m virtio-serial -p "$port" -t /run -f /run/qemu-ga.pid &
  (while :; do
    echo more | dd of=/files/log oflag=append conv=notrunc,fsync status=none
    usleep 100000
  done) &
fi

# Without paths: these are in the shell itself, and starting a program takes an emulated processor longer than what it does.
write() {
  dd "if=/block$2" "of=/dev/$1" bs=4096 "seek=$3" oflag=direct conv=notrunc,fsync status=none || echo "failed $2"
}
set -- $disks
blocks=$(($($b cat "/sys/block/$1/size") / 8))
n=0
while :; do
  writers=
  for next in $($b seq $((n + 1)) $((n + ${IN_FLIGHT:-1}))); do
    at=$((next * 2654435761 % blocks))
    printf '%-4095d\n' "$next" >"/block$next"
    for disk in $disks; do
      if [ "${IN_FLIGHT:-1}" = 1 ]; then
        write "$disk" "$next" "$at"
      else
        write "$disk" "$next" "$at" &
        writers="$writers $!"
      fi
    done
  done
  [ -z "$writers" ] || wait $writers
  n=$next
  echo "wrote $n"
  rm /block*
  [ "${PAUSE_US:-0}" = 0 ] || usleep "$PAUSE_US"
done
