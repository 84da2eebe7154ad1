#!/bin/bash
# Makes the image from which machines with ZFS start, and prints its directory: that of ../make-image.sh with zfsutils-linux and the modules.
# Debian has these as source alone, in contrib: they are compiled here for the kernel of the emulated machine, five minutes of processor
# time. User-mode Linux cannot have them. Needs root, and what ../make-image.sh needs. An existing image is not made again.
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/gantry/machines
base=$("$here/../make-image.sh")
image=$cache/zfs-$(cat "$0" <(basename "$base") | sha256sum | cut -c -16)
found() { [ -e "$image/complete" ] && touch "$image/complete" && echo "$image" && exit 0; }
found || :
exec 9>"$cache/zfs.lock"
flock 9
found || :

# In memory: a compiler writes much that is not kept.
work=$(mktemp -d -p /dev/shm gantry-zfs.XXXXXX)
trap 'rm -rf "$work" "$image.new"' EXIT
rm -rf "$image.new"
mkdir "$image.new"
cp --sparse=always "$base"/* "$image.new/"
rm "$image.new/complete"
apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) main contrib' 'Created-By: Packages' 'Origin: Debian' |
  sort -u >"$work/sources.list"

# The mounts go with this process.
unshare --mount --propagation private bash -euo pipefail -c '
  work=$1 image=$2
  mkdir "$work"/{root,above,build}
  mount -o loop "$image/root.ext4" "$work/root"
  kernel=$(basename "$work"/root/lib/modules/*-cloud-amd64)

  # The compiler stays out of the image: what is installed for it is above.
  mount -t tmpfs above "$work/above"
  mkdir "$work"/above/{upper,work}
  mount -t overlay -o "lowerdir=$work/root,upperdir=$work/above/upper,workdir=$work/above/work" build "$work/build"
  prepare() {
    cp /etc/resolv.conf "$1/etc/resolv.conf"
    cp "$work/sources.list" "$1/etc/apt/sources.list"
    mount -t proc proc "$1/proc"
    mount --bind /dev "$1/dev"
  }
  install() {
    root=$1
    shift
    chroot "$root" apt-get -qq update
    DEBIAN_FRONTEND=noninteractive chroot "$root" apt-get -qq -o Dpkg::Options::=--force-unsafe-io install --no-install-recommends "$@" </dev/null
  }
  prepare "$work/build"
  # Without the kernels of other engines: modules are compiled for each that is there.
  for other in "$work"/build/lib/modules/*; do [ "$other" = "$work/build/lib/modules/$kernel" ] || rm -r "$other"; done
  install "$work/build" "linux-headers-$kernel" gcc make libc6-dev kmod
  # Its own hook looks for the kernel that runs here.
  install "$work/build" zfs-dkms || :
  version=$(chroot "$work/build" dkms status | sed -n "s:^zfs/\([^,:]*\).*:\1:p" | head -n 1)
  chroot "$work/build" dkms status -m zfs -k "$kernel" | grep -q installed ||
    chroot "$work/build" dkms install -m zfs -v "$version" -k "$kernel" ||
    { tail -n 30 "$work"/build/var/lib/dkms/zfs/*/build/make.log; exit 1; }

  prepare "$work/root"
  install "$work/root" zfsutils-linux
  mkdir -p "$work/root/lib/modules/$kernel/updates"
  find "$work/build/lib/modules/$kernel/updates" -name "*.ko*" -exec cp {} "$work/root/lib/modules/$kernel/updates/" \;
  chroot "$work/root" depmod "$kernel"
  chroot "$work/root" modprobe --set-version "$kernel" --show-depends zfs
  rm -rf "$work"/root/var/cache/apt/*.bin "$work"/root/var/lib/apt/lists/* "$work"/root/var/cache/apt/archives/*.deb
' bash "$work" "$image.new" >"$work/log" 2>&1 || { tail -n 60 "$work/log" >&2; exit 1; }

touch "$image.new/complete"
rm -rf "$image"
mv "$image.new" "$image"
echo "$image"
