# Sourced. Mounts an ext4 file system that is in a file or on a block device; unmounts it at any exit.

mountpoint=

cleanup() {
  status=$?
  trap - EXIT
  if [ -n "$mountpoint" ]; then
    ! mountpoint -q "$mountpoint" || umount "$mountpoint" || status=1
    rmdir "$mountpoint" || status=1
  fi
  exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# mount_disk DEVICE OPTIONS
mount_disk() {
  mountpoint=$(mktemp -d "${TMPDIR:-/tmp}/os-mount-XXXXXX")
  if [ -b "$1" ]; then
    mount -t ext4 -o "$2" "$1" "$mountpoint"
  else
    mount -t ext4 -o "loop,$2" "$1" "$mountpoint"
  fi
}
