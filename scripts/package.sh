#!/bin/sh
# Builds what users install into a directory, and checks it: package.sh DIRECTORY
#   gantry_VERSION_amd64.deb            a Debian package with a Node of its own, by Debian's tools
#   gantry-VERSION-linux-x64.tar.gz     the same without Debian: it works wherever it is unpacked
#   gantry-cli-VERSION.tgz              for npm install --global, on Node 22.18 or later
# GANTRY_MAINTAINER='NAME <ADDRESS>' is who answers for the Debian package, by default a placeholder: set it for packages that others install.
# GANTRY_XZ_LEVEL and GANTRY_GZIP_LEVEL, 6 by default: with 1 it is faster, and the packages are larger.
set -eu
umask 022
here=$(cd "$(dirname "$0")/.." && pwd)
maintainer=${GANTRY_MAINTAINER:-$(sed -n 's/^Maintainer: //p' "$here/packaging/debian/control")}
printf %s "$maintainer" | awk 'END { exit !(NR == 1 && /^[^<>[:cntrl:]]*[^<>[:cntrl:] ] <[^<>@[:cntrl:] ]+@[^<>@[:cntrl:] ]+>$/) }' || {
  echo "gantry: cannot build packages: GANTRY_MAINTAINER must be one line such as 'Jane Doe <jane@example.com>'" >&2
  exit 1
}
mkdir -p "${1:?a directory is missing}"
out=$(cd "$1" && pwd)
cd "$here"
. scripts/tools.sh
PATH=$PWD/node_modules/.bin:$PATH
apt_packages binutils debhelper dpkg-dev lintian || die 'these Debian packages build the packages.'

version=$(sed -n 's/^ *"version": "\(.*\)",/\1/p' apps/cli/package.json)
architecture=$(dpkg --print-architecture)
case $architecture in amd64) processor=x64 ;; *) processor=$architecture ;; esac
# Of the last change: the same sources make the same packages.
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM HUP

say 'For npm'
turbo run build --filter=@gantry/cli --output-logs=errors-only
pnpm --silent --filter @gantry/cli pack --pack-destination "$out" >/dev/null

say 'With a Node of its own'
source=$work/gantry-$version
packaging/stage.sh "$source/tree"
name=gantry-$version-linux-$processor
tar -C "$source" --transform "s,^tree,$name," --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$SOURCE_DATE_EPOCH" -c tree |
  gzip -n "-${GANTRY_GZIP_LEVEL:-6}" >"$out/$name.tar.gz"

say 'For Debian'
cp -r packaging/debian "$source/debian"
maintainer=$maintainer awk '/^Maintainer: / { $0 = "Maintainer: " ENVIRON["maintainer"] } 1' packaging/debian/control >"$source/debian/control"
for unit in packaging/systemd/*; do cp "$unit" "$source/debian/gantry.${unit##*/}"; done
cp packaging/gantry.yaml "$source/"
cat >"$source/debian/changelog" <<CHANGELOG
gantry ($version) unstable; urgency=medium

  * See the CHANGELOG.md of this version.

 -- $maintainer  $(date -R -u -d "@$SOURCE_DATE_EPOCH")
CHANGELOG
(cd "$source" && DEB_XZ_LEVEL=${GANTRY_XZ_LEVEL:-6} dpkg-buildpackage -us -uc -b >"$work/log" 2>&1) || { cat "$work/log" >&2; exit 1; }
lintian --allow-root --fail-on error,warning "$work"/*.changes
cp "$work"/*.deb "$out/"
(cd "$out" && sha256sum gantry* >SHA256SUMS)
say "In $out"
(cd "$out" && ls -l gantry*)
[ -n "${GANTRY_MAINTAINER:-}" ] || say "The maintainer of the Debian package is a placeholder: $maintainer. Set GANTRY_MAINTAINER for one that others install."
