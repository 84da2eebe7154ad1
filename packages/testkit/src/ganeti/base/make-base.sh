#!/bin/bash
# Makes what the nodes of a Ganeti cluster start from, from Debian packages only, and prints its directory. An existing one is not made again.
#   tree     a base system with Ganeti
#   node1    what differs from it on the master of a cluster of two nodes that is initialized, and stopped
#   node2    the same of the other node
# Ganeti is always the one of Debian 12, as results differ between versions. Needs root, and the packages mmdebstrap iproute2.
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/gantry/ganeti
suite=bookworm
packages='ganeti procps openssh-server openssh-client iproute2 socat'

# Another recipe makes another base.
recipe=$(cat "$here"/*.sh | sha256sum | cut -c -16)
base=$cache/$suite-$recipe
found() { [ -e "$base/complete" ] && touch "$base/complete" && echo "$base" && exit 0; }
found || :
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
found || :

work=$(mktemp -d -t gantry-ganeti.XXXXXX)
trap 'rm -rf --one-file-system "$work" "$base.new"' EXIT
rm -rf --one-file-system "$base.new"
mkdir "$base.new"
mirror=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' | awk '$2 == "main" { print $1; exit }')
[ -n "$mirror" ] || { echo "make-base: apt knows no mirror" >&2; exit 1; }

quietly() { "$@" >"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; exit 1; }; }
# In a mount namespace, so that nothing stays mounted when it is killed.
quietly unshare --mount mmdebstrap --variant=apt --mode=root --include="$(echo $packages | tr ' ' ,)" \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  "$suite" "$base.new/tree" "deb $mirror $suite main"
echo "Ganeti's base system: installed after $SECONDS s" >&2
rm -rf "$base.new"/tree/var/cache/apt/*.bin "$base.new"/tree/var/lib/apt/lists/*
install -m 755 "$here/kvm.sh" "$base.new/tree/usr/bin/kvm"
mkdir "$base.new/tree/host"

mkdir "$work/nodes"
quietly unshare --mount --net --pid --fork --kill-child "$here/lab.sh" init "$base.new" "$work/nodes"

echo "Ganeti's base system: complete after $SECONDS s" >&2

touch "$base.new/complete"
rm -rf "$base"
mv "$base.new" "$base"
# Removes those of other recipes that were not used for two weeks.
find "$cache" -mindepth 2 -maxdepth 2 -name complete -mtime +14 -printf '%h\0' | xargs -0r rm -rf
echo "$base"
