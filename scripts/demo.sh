#!/bin/sh
# Shows the main job on a small real disk: export, list, verify, import, compare. Leaves nothing behind.
set -eu
cd "$(dirname "$0")/.."
gantry=$PWD/node_modules/.bin/gantry
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM HUP
export GANTRY_STATE_DIR="$work/state"

show() {
  printf '\n$ gantry %s\n' "$*"
  (cd "$work" && "$gantry" "$@")
}

printf '\n== A disk of 64 MiB with holes, and an empty one to import into\n'
truncate -s 64M "$work/web1.img" "$work/web2.img"
for at in 0 9 40; do
  dd if=/dev/urandom of="$work/web1.img" bs=1M count=3 seek="$at" conv=notrunc status=none
done
for name in web1 web2; do
  cat >"$work/$name.yaml" <<YAML
name: $name.example.com
os: raw
hypervisor: kvm
disks:
  - path: $name.img
YAML
done
cat "$work/web1.yaml"

show store init exports
show export web1.yaml exports
show list exports
show verify exports web1.example.com
show import exports web1.example.com --to web2.yaml --yes

printf '\n$ cmp web1.img web2.img\n'
cmp "$work/web1.img" "$work/web2.img"
printf 'equal, and as sparse: %s and %s KiB on disk\n' "$(du -k "$work/web1.img" | cut -f1)" "$(du -k "$work/web2.img" | cut -f1)"
printf '\nThat was the main job. The command is %s\n' "$gantry"
