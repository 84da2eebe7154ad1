#!/bin/busybox sh
# First process of a guest that writes at a rate: RATE MiB a second to the first REGION MiB of its first disk, in pieces of 64 KiB one after
# the other, past its page cache, from the beginning again when it has come to the end; each time with other bytes. It says how many MiB it
# has written. If it cannot keep up, it writes as fast as it can.
b=/bin/busybox
while read -r file; do $b insmod "/modules/$file"; done </modules/list
$b mount -t devtmpfs dev /dev
$b mkdir -p /proc && $b mount -t proc proc /proc
until [ -b /dev/vda ]; do $b usleep 20000; done
$b dd if=/dev/urandom of=/random bs=1M count=17 2>/dev/null

now() {
  read -r uptime rest </proc/uptime
  # In hundredths of a second; 1 in front, because 08 would be octal.
  now=$((${uptime%.*} * 100 + 1${uptime#*.} - 100))
}
now
start=$now
n=0
while :; do
  now
  if [ $((n * 100)) -gt $(((now - start) * RATE)) ]; then
    usleep 10000
    continue
  fi
  # 241 is prime to the sizes of regions: a place gets other bytes each time.
  if ! dd if=/random of=/dev/vda bs=64k count=16 "skip=$((n % 241))" "seek=$((n % REGION * 16))" oflag=direct conv=notrunc status=none; then
    echo "failed $n"
    usleep 1000000
    continue
  fi
  n=$((n + 1))
  echo "wrote $n"
done
