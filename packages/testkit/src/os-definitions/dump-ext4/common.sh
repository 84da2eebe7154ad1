# Sourced. A block device and a mount for a file system; both are released at any exit.

device=
loop=
mountpoint=

cleanup() {
  status=$?
  trap - EXIT
  if [ -n "$mountpoint" ]; then
    ! mountpoint -q "$mountpoint" || umount "$mountpoint" || status=1
    rmdir "$mountpoint" || status=1
  fi
  [ -z "$loop" ] || losetup --detach "$loop" || status=1
  exit "$status"
}
trap cleanup EXIT
trap 'exit 143' TERM
trap 'exit 130' INT

# block_device DISK [--read-only]: sets $device to DISK, or to a loop device over it when it is a file.
block_device() {
  if [ -b "$1" ]; then
    device=$1
  else
    # shellcheck disable=SC2086 # none, or one option
    loop=$(losetup --find --show ${2-} "$1")
    device=$loop
  fi
}
