#!/bin/bash
# Makes the tree of a Debian of the same release as this one, which has little but what is named here, and prints its directory. An existing
# one is not made again. Needs root, and the package mmdebstrap.
set -euo pipefail
umask 022
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-/var/cache}/gantry/roots
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
packages='cron openssh-client openssh-server systemd-sysv dbus libpam-systemd'

# Another recipe, or another Debian, makes another tree.
recipe=$(sha256sum <"$here/make-root.sh" | cut -c -16)
root=$cache/$suite-$recipe
found() { [ -e "$root/complete" ] && touch "$root/complete" && echo "$root/tree" && exit 0; }
found || :
mkdir -p "$cache"
exec 9>"$cache/lock"
flock 9
found || :

log=$(mktemp)
trap 'rm -f "$log"; rm -rf --one-file-system "$root.new"' EXIT
rm -rf --one-file-system "$root.new"
mkdir "$root.new"
mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' 'Created-By: Packages' |
  awk -v suite="$suite" '$2 == suite && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || { echo "make-root: apt knows no mirror of $suite" >&2; exit 1; }
# In a mount namespace, so that nothing stays mounted when it is killed.
unshare --mount mmdebstrap --variant=apt --mode=root --include="${packages// /,}" \
  --dpkgopt=force-unsafe-io --aptopt='Acquire::Languages "none"' --aptopt='APT::Install-Recommends "false"' \
  "$suite" "$root.new/tree" "deb $mirror $suite main" >"$log" 2>&1 </dev/null || { cat "$log" >&2; exit 1; }

# Each root listens where its test wants.
ln -sf /dev/null "$root.new/tree/etc/systemd/system/ssh.service"

touch "$root.new/complete"
rm -rf "$root"
mv "$root.new" "$root"
# Removes those of other recipes that were not used for two weeks.
find "$cache" -mindepth 2 -maxdepth 2 -name complete -mtime +14 -printf '%h\0' | xargs -0r rm -rf
echo "$root/tree"
