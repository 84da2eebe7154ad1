#!/bin/bash
# Makes the image from which machines start, from Debian packages only, and prints its directory. An existing image is not made again.
#   root.ext4    the root file system, the same for both engines
#   linux.uml    Debian's user-mode kernel (package user-mode-linux)
#   vmlinux      Debian's cloud kernel, unpacked: QEMU starts such a file directly, and an emulated processor takes seconds to unpack one
#   initrd.gz    busybox, and the modules that the cloud kernel needs to find its root file system
# Needs root, and the packages mmdebstrap e2fsprogs cpio lz4 xz-utils zstd.
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/gantry/machines
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")

# What machines have. mdadm, drbd and lvm2 stack devices upon disks; ssh is for moves.
packages='busybox-static udev kmod util-linux mount procps iproute2 e2fsprogs xfsprogs btrfs-progs openssh-server openssh-client
  dmsetup lvm2 thin-provisioning-tools mdadm drbd-utils libatomic1 libstdc++6'

# Another recipe, or another Debian, makes another image.
recipe=$(cat "$here"/*.sh | sha256sum | cut -c -16)
image=$cache/$suite-$recipe
found() { [ -e "$image/complete" ] && touch "$image/complete" && echo "$image" && exit 0; }
found || :
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
found || :

# In memory: a package manager writes to disk repeatedly, and nothing here has to survive a crash.
work=$(mktemp -d -p /dev/shm gantry-image.XXXXXX)
trap 'rm -rf "$work" "$image.new"' EXIT
chmod 755 "$work"
tree=$work/tree
apt-cache show linux-image-cloud-amd64 user-mode-linux >/dev/null 2>&1 || apt-get -qq update >&2
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || { echo "make-image: apt knows no mirror of $suite" >&2; exit 1; }
cloud=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: linux-image-//p' | head -n 1)

# Kernels are unpacked and not installed: their scripts would make an unused initrd.
mkdir "$work/debs" "$work/kernels" "$work/initrd"
(cd "$work/debs" && apt-get -qq download "linux-image-$cloud" user-mode-linux >&2) &
download=$!

mmdebstrap --quiet --variant=apt --mode=root --include="$(echo $packages | tr ' ' ,)" \
  --dpkgopt=force-unsafe-io --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' --dpkgopt='path-exclude=/usr/share/info/*' \
  --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  "$suite" "$tree" "deb $mirror $suite main" >"$work/log" 2>&1 </dev/null || { cat "$work/log" >&2; exit 1; }

wait "$download"
for deb in "$work"/debs/*.deb; do dpkg-deb -x "$deb" "$work/kernels"; done
mkdir -p "$tree/lib/modules"
cp -a "$work"/kernels/lib/modules/. "$work"/kernels/usr/lib/uml/modules/. "$tree/lib/modules/"
for version in "$tree"/lib/modules/*; do chroot "$tree" depmod "${version##*/}"; done

install -m 755 "$here/init.sh" "$tree/sbin/machine-init"
echo machine >"$tree/etc/hostname"
echo '127.0.0.1 localhost machine' >"$tree/etc/hosts"
rm -rf "$tree"/var/cache/apt/*.bin "$tree"/var/lib/apt/lists/*

# The initrd, with modules in the order in which they must be loaded.
mkdir "$work"/initrd/{bin,modules,root,dev}
cp "$tree/bin/busybox" "$work/initrd/bin/"
install -m 755 "$here/initrd-init.sh" "$work/initrd/init"
for module in virtio_pci virtio_blk; do chroot "$tree" modprobe -S "$cloud" --show-depends "$module"; done |
  sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++' >"$work/modules"
while read -r file; do
  cp "$tree$file" "$work/initrd/modules/"
  echo "${file##*/}" >>"$work/initrd/modules/list"
done <"$work/modules"

mkdir -p "$image.new"
(cd "$work/initrd" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$image.new/initrd.gz"
cp "$work/kernels/usr/bin/linux.uml" "$image.new/"

# The kernel inside a bzImage starts at setup_sects * 512 + 512 + payload_offset, and ends with 4 bytes that contain its length
# (Documentation/arch/x86/boot.rst, protocol 2.08).
packed=$(ls "$work"/kernels/boot/vmlinuz-*)
number() { od -An "-tu$2" -j "$1" -N "$2" "$packed" | tr -d ' '; }
dd if="$packed" iflag=skip_bytes,count_bytes bs=1M status=none \
  skip=$((($(number 497 1) + 1) * 512 + $(number 584 4))) count=$(($(number 588 4) - 4)) >"$work/payload"
for unpack in 'lz4 -dcq' 'zstd -dcq' 'xz -dcq' 'gzip -dcq'; do
  $unpack <"$work/payload" >"$image.new/vmlinux" 2>/dev/null && break
  # An unknown compression: QEMU can start that file too.
  cp "$packed" "$image.new/vmlinux"
done

# Directly from the tree, without a mount; without a journal, because changes are discarded.
truncate -s $(($(du -sm "$tree" | cut -f1) + 512))M "$image.new/root.ext4"
mkfs.ext4 -q -F -O ^has_journal -E lazy_itable_init=0,nodiscard -m 0 -L root -d "$tree" "$image.new/root.ext4"
touch "$image.new/complete"
rm -rf "$image"
mv "$image.new" "$image"
# Removes images of other recipes that were not used for two weeks.
find "$cache" -mindepth 2 -maxdepth 2 -name complete -mtime +14 -printf '%h\0' | xargs -0r rm -rf
echo "$image"
