#!/bin/sh
# The host's QEMU, with its own libraries. Without -enable-kvm: an emulated processor runs everywhere.
export QEMU_MODULE_DIR=/host/usr/lib/x86_64-linux-gnu/qemu
exec /host/lib64/ld-linux-x86-64.so.2 --library-path /host/lib/x86_64-linux-gnu:/host/usr/lib/x86_64-linux-gnu \
  /host/usr/bin/qemu-system-x86_64 -L /host/usr/share/qemu -L /host/usr/share/seabios -L /host/usr/lib/ipxe/qemu "$@"
