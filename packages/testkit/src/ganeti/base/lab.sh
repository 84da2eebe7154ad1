#!/bin/bash
# The first process of the namespaces of a cluster; whatever it starts and mounts ends with it. To be called in new mount, network and
# process namespaces, with the directory that make-base.sh made, and an empty directory for what the nodes write:
#   lab.sh init BASE WORK              initializes a cluster, and keeps it in BASE
#   lab.sh start BASE WORK SHARE…      starts it, prints "ready", and stays; the nodes see each host directory SHARE, read-only
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
what=$1 base=$2 work=$3
shift 3
. "$here/cluster.sh"

mount --make-rslave /
mount -t proc proc /proc
# Names of network namespaces stand in /run/netns: here in one of our own.
mount -t tmpfs run /run
# In memory: an overlay cannot be written to on the overlay that is a container's root.
mount -t tmpfs -o mode=755 nodes "$work"

ip link set lo up
ip link add switch type bridge
ip address add "$(address_of host)/24" dev switch
ip link set switch up
for node in $nodes; do
  mkdir "$work/$node"
  ip netns add "$node"
  ip link add "$node" master switch type veth peer name eth0 netns "$node"
  ip link set "$node" up
  nsenter --net="/run/netns/$node" unshare --mount --uts --ipc --pid --fork --kill-child \
    "$here/node.sh" "$base" "$work/$node" "$node" "$@" </dev/null >"$work/$node/log" 2>&1 &
  parents="${parents-} $!"
done
for parent in $parents; do
  until [ -e "/proc/$parent/root" ] && pid=$(cat "/proc/$parent/task/$parent/children" 2>/dev/null) && [ -e "/proc/${pid% }/root/run/up" ]; do
    kill -0 "$parent" || { cat "$work"/*/log >&2; exit 1; }
    sleep 0.02
  done
  pids="${pids-} $pid"
done

"${what}_cluster"
[ "$what" = init ] && exit
echo ready
# Processes whose parents have ended become children of this one.
while :; do sleep 1000000 & wait $!; done
