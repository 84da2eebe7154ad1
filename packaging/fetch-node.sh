#!/bin/sh
# Prints the directory of a Node for this kind of processor: fetch-node.sh VERSION. It comes from npm, once, with its license.
set -eu
version=$1
case $(uname -m) in
x86_64) arch=x64 ;;
aarch64) arch=arm64 ;;
*) echo "fetch-node: there is no package of Node for $(uname -m)" >&2 && exit 1 ;;
esac
cache=${XDG_CACHE_HOME:-/var/cache}/gantry/node
node=$cache/$version-$arch
[ -x "$node/bin/node" ] && echo "$node" && exit

mkdir -p "$cache"
work=$(mktemp -d "$cache/new.XXXXXX")
trap 'rm -rf "$work"' EXIT
# The registry may have a certificate that only this machine trusts.
NODE_OPTIONS="--use-openssl-ca ${NODE_OPTIONS-}" npm pack --silent --pack-destination "$work" "node-linux-$arch@$version" >/dev/null
tar -xzf "$work"/*.tgz -C "$work" package/bin/node package/LICENSE
# Two at once have the same result.
mv -T "$work/package" "$node" 2>/dev/null || [ -x "$node/bin/node" ]
echo "$node"
