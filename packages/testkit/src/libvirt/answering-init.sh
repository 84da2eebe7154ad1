#!/bin/busybox sh
# First process of a guest that answers: it says how the first line of each disk begins, and then repeats each line that it is given. It
# shuts down when its power button is pressed. `disks` is in its environment, from the kernel's command line.
b=/bin/busybox
while read -r file; do $b insmod "/modules/$file"; done </modules/list
$b mount -t devtmpfs dev /dev
for letter in a b c d; do
  [ $disks -gt 0 ] || break
  while [ ! -b /dev/vd$letter ]; do $b usleep 20000; done
  read -r line </dev/vd$letter
  echo "vd$letter says: $line"
  disks=$((disks - 1))
done
# The keyboard has an event device too, and presses nothing.
for device in /dev/input/event*; do
  {
    $b dd if=$device bs=24 count=1 of=/dev/null 2>/dev/null
    $b poweroff -f
  } &
done
echo ready
while read -r line; do echo "answer: $line"; done
